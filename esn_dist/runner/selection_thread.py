"""The driver's own units, executed on a thread beside its loop: a pass over counts takes minutes, and actors must eat.

Knows nothing of what a unit does. Nothing is lost with the thread: a unit publishes itself in one step, or not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from esn_dist.errors import UserError
from esn_dist.sweep.units import SelectUnit

HELD = 16  # most selections take milliseconds, the counts being in memory: one look of the loop serves several


class Desk:
    """Executes units one after another.

    Args:
        execute: does one unit; a `UserError` says that it cannot be done, anything else is a fault and ends the run.
    """

    def __init__(self, execute: Callable[[SelectUnit], None]) -> None:
        self._execute = execute
        self._given: SimpleQueue[SelectUnit] = SimpleQueue()
        self._ended: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()
        self._held = 0
        # A daemon, so that a second Ctrl-C need not wait for a pass over the counts.
        threading.Thread(target=self._work, name="select", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether any unit is in hand."""
        return self._held > 0

    @property
    def has_room(self) -> bool:
        """Whether another unit may be given."""
        return self._held < HELD

    def give(self, unit: SelectUnit) -> None:
        """Execute `unit` after those given before."""
        self._held += 1
        self._given.put(unit)

    def results(self) -> list[tuple[str, UserError | None]]:
        """Units that ended since the last look, each with what made it impossible, if anything did.

        Raises:
            BaseException: whatever else than a `UserError` a unit raised.
        """
        results: list[tuple[str, UserError | None]] = []
        while True:
            try:
                unit, error = self._ended.get_nowait()
            except Empty:
                return results
            if error is not None and not isinstance(error, UserError):
                raise error
            self._held -= 1
            results.append((unit, error))

    def _work(self) -> None:
        while True:
            unit = self._given.get()
            try:
                self._execute(unit)
            except BaseException as error:
                self._ended.put((unit.id, error))
            else:
                self._ended.put((unit.id, None))

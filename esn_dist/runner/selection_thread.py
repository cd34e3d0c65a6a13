"""Selects masks on a thread of the driver, so that actors are not starved of work: a pass over counts takes minutes.

Knows nothing of how a mask is selected. The thread may be killed at any time: a unit publishes itself in one step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from esn_dist.errors import UserError
from esn_dist.sweep.units import SelectUnit

CAPACITY = 16  # most selections take milliseconds, their counts being in memory: one look of the loop serves several


class SelectionThread:
    """`DriverTasks` that execute units one after another.

    Args:
        execute: executes one unit. A `UserError` means that the unit is impossible; any other error ends the run.
    """

    def __init__(self, execute: Callable[[SelectUnit], None]) -> None:
        self._execute = execute
        self._submitted: SimpleQueue[SelectUnit] = SimpleQueue()
        self._ended: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()
        self._in_flight = 0
        # A daemon, so that a second Ctrl-C need not wait for a pass over the counts.
        threading.Thread(target=self._work, name="select", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether any unit is in flight."""
        return self._in_flight > 0

    @property
    def has_capacity(self) -> bool:
        """Whether another unit may be submitted."""
        return self._in_flight < CAPACITY

    def submit(self, unit: SelectUnit) -> None:
        """Execute `unit` after those submitted before."""
        self._in_flight += 1
        self._submitted.put(unit)

    def results(self) -> list[tuple[str, UserError | None]]:
        """Units that ended since the last call, each with the error that makes it impossible, if any.

        Raises:
            BaseException: what a unit raised, unless it is a `UserError`.
        """
        results: list[tuple[str, UserError | None]] = []
        while True:
            try:
                unit, error = self._ended.get_nowait()
            except Empty:
                return results
            if error is not None and not isinstance(error, UserError):
                raise error
            self._in_flight -= 1
            results.append((unit, error))

    def _work(self) -> None:
        while True:
            unit = self._submitted.get()
            try:
                self._execute(unit)
            except BaseException as error:
                self._ended.put((unit.id, error))
            else:
                self._ended.put((unit.id, None))

"""Ray actors: started, fed a few units ahead, replaced when they die.

Knows which actor has which call in flight, nothing of what units mean or what an actor holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from esn_dist.errors import UserError
from esn_dist.sweep.units import Unit
from esn_dist.worker.protocol import Died, Event, Failed, Finished, Ready

THREADS = 2  # of an actor: one unit's results are written while the next one's are computed
IN_FLIGHT = 3  # units an actor holds: one computed, one written, and one that waits, so that it never does


class Hands:
    """How many units each actor that is ready holds, and which may take one more.

    No look costs more where there are more actors.
    """

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self._holding: list[dict[int, None]] = [{} for _ in range(IN_FLIGHT + 1)]  # by number of units; in order

    def __len__(self) -> int:
        return len(self._held)

    def add(self, actor: int) -> None:
        """An actor that holds nothing."""
        self._held[actor] = 0
        self._holding[0][actor] = None

    def remove(self, actor: int) -> None:
        """An actor that is gone, with what it held, or before it was ready."""
        if actor in self._held:
            del self._holding[self._held.pop(actor)][actor]

    def change(self, actor: int, by: int) -> None:
        """`actor` holds `by` units more, or less."""
        del self._holding[self._held[actor]][actor]
        self._held[actor] += by
        self._holding[self._held[actor]][actor] = None

    def emptiest(self, most: int) -> int | None:
        """The actor that holds the fewest units, and fewer than `most`; of equals, who has held so few the longest."""
        return next((next(iter(actors)) for actors in self._holding[:most] if actors), None)


class Pool:
    """`size` actors.

    Args:
        start: starts one actor; returns its Ray handle, which has `run(unit)` → `Receipt`, and `load_seconds()`.
    """

    def __init__(self, start: Callable[[], Any], size: int) -> None:
        self._new = start
        self._actors: dict[int, Any] = {}
        self._hands = Hands()
        self._calls: dict[Any, tuple[int, str]] = {}  # reference → (actor, unit)
        self._numbers = iter(range(1_000_000_000))
        for _ in range(size):
            self._start()

    def __len__(self) -> int:
        return len(self._actors)

    def hungry(self, ahead: bool) -> int | None:
        """The emptiest actor that may be given a unit: an idle one, or `ahead` of its need one that is busy."""
        return self._hands.emptiest(IN_FLIGHT if ahead else 1)

    def give(self, actor: int, unit: Unit) -> None:
        """Have `actor` execute `unit` after what it holds already."""
        self._calls[self._actors[actor].run.remote(unit)] = (actor, unit.id)
        self._hands.change(actor, +1)

    def events(self, timeout: float) -> list[Event]:
        """What happened within `timeout` seconds; returns at the first thing that did, with all that has by then.

        Raises:
            UserError: an actor cannot load its model; another one would meet the same mistake.
        """
        if not self._calls:
            time.sleep(timeout)
            return []
        calls = list(self._calls)
        ready, _ = ray.wait(calls, num_returns=1, timeout=timeout)
        if ready:
            # One look at thousands of calls costs milliseconds: it must not be taken for each of them.
            ready, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
        return [self._event(reference) for reference in ready if reference in self._calls]

    def stop(self) -> None:
        """Kill all actors; what they held is lost."""
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._calls.clear()

    def _start(self) -> None:
        number = next(self._numbers)
        self._actors[number] = self._new()
        # Its answer makes the actor ready for units: one that finds no room in the cluster would hold them for ever.
        self._calls[self._actors[number].load_seconds.remote()] = (number, "")

    def _event(self, reference: Any) -> Event:
        actor, unit = self._calls[reference]
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            self._end(reference)
            if not unit and isinstance(error.cause, UserError):
                raise error.cause from None
            return Failed(unit, _last_line(error), str(error))
        except RayActorError as error:
            self._calls = {ref: call for ref, call in self._calls.items() if call[0] != actor}
            del self._actors[actor]
            self._hands.remove(actor)
            self._start()
            return Died(actor, str(error))
        self._end(reference)
        if unit:
            return Finished(result)
        self._hands.add(actor)
        return Ready(actor, result)

    def _end(self, reference: Any) -> None:
        actor, unit = self._calls.pop(reference)
        if unit:
            self._hands.change(actor, -1)


def _last_line(error: RayTaskError) -> str:
    return str(error).strip().splitlines()[-1]

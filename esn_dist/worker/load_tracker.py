"""How many units each ready actor has in flight. Pools build on it; it knows nothing of how actors run."""

from __future__ import annotations

from esn_dist.worker.protocol import MAX_IN_FLIGHT


class LoadTracker:
    """Units in flight by actor. The cost of a call does not depend on the number of actors."""

    def __init__(self) -> None:
        self._in_flight: dict[int, int] = {}
        # Index: units in flight. An actor moves to the end of its new load's dict, so each dict is in order of waiting.
        self._actors_by_load: list[dict[int, None]] = [{} for _ in range(MAX_IN_FLIGHT + 1)]

    def __len__(self) -> int:
        return len(self._in_flight)

    def add(self, actor: int) -> None:
        """`actor` is ready, with no unit in flight."""
        self._in_flight[actor] = 0
        self._actors_by_load[0][actor] = None

    def remove(self, actor: int) -> None:
        """`actor` is gone. It may never have been ready."""
        if actor in self._in_flight:
            del self._actors_by_load[self._in_flight.pop(actor)][actor]

    def change(self, actor: int, by: int) -> None:
        """Add `by` to the units that `actor` has in flight."""
        del self._actors_by_load[self._in_flight[actor]][actor]
        self._in_flight[actor] += by
        self._actors_by_load[self._in_flight[actor]][actor] = None

    def least_loaded(self, max_in_flight: int) -> int | None:
        """The actor with the fewest units in flight, if fewer than `max_in_flight`.

        Among equals, the one whose load has not changed for the longest time.
        """
        return next((next(iter(actors)) for actors in self._actors_by_load[:max_in_flight] if actors), None)

"""Which unit may run next: a pure state machine over units, what they need, who has them, and how often they failed.

Knows nothing of Ray, models or stores; the driver tells it what happened. Every event costs the same however many units
there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from esn_dist.sweep.units import Unit

ATTEMPTS = 3  # a unit that failed so often is parked, and the rest goes on


class Schedule:
    """Units, handed out once all that they need is done, in the order in which they became ready.

    Attributes:
        done: ids of finished units, those of earlier runs included.
        planned: ids of all units that were added, done or not.
        parked: id → reason, of units that failed too often. What needs them never runs.
    """

    def __init__(self, done: Iterable[str] = ()) -> None:
        self.done = set(done)
        self.planned: set[str] = set()
        self.parked: dict[str, str] = {}
        self._units: dict[str, Unit] = {}  # known and not done
        self._ready: deque[str] = deque()
        self._missing: dict[str, set[str]] = {}  # unit → needs that are not done
        self._needed_by: dict[str, list[str]] = {}
        self._holder: dict[str, Hashable] = {}
        self._held: dict[Hashable, set[str]] = {}
        self._failures: dict[str, int] = {}

    def add(self, unit: Unit, needs: Iterable[str] = ()) -> None:
        """Plan `unit`; one that is done, or known already, is left as it is."""
        self.planned.add(unit.id)
        if unit.id in self.done or unit.id in self._units:
            return
        self._units[unit.id] = unit
        missing = set(needs) - self.done
        if not missing:
            self._ready.append(unit.id)
            return
        self._missing[unit.id] = missing
        for need in missing:
            self._needed_by.setdefault(need, []).append(unit.id)

    def take(self, worker: Hashable) -> Unit | None:
        """Hand the first ready unit to `worker`, or None where none is ready."""
        if not self._ready:
            return None
        id = self._ready.popleft()
        self._holder[id] = worker
        self._held.setdefault(worker, set()).add(id)
        return self._units[id]

    def finish(self, id: str) -> None:
        """`id`, which somebody holds, is done."""
        self._release(id)
        del self._units[id]
        self.done.add(id)
        for dependent in self._needed_by.pop(id, ()):
            self._missing[dependent].discard(id)
            if not self._missing[dependent]:
                del self._missing[dependent]
                self._ready.append(dependent)

    def fail(self, id: str, reason: str) -> bool:
        """`id`, which somebody holds, failed: ready again, before all others, or parked; returns whether parked."""
        self._release(id)
        self._failures[id] = self._failures.get(id, 0) + 1
        if self._failures[id] >= ATTEMPTS:
            self.parked[id] = reason
            return True
        self._ready.appendleft(id)
        return False

    def park(self, id: str, reason: str) -> None:
        """`id`, which somebody holds, can never succeed."""
        self._release(id)
        self.parked[id] = reason

    def lose(self, worker: Hashable, reason: str) -> list[str]:
        """`worker` is gone: each unit that it held counts as failed; returns those that are parked thereby."""
        return [id for id in sorted(self._held.get(worker, ())) if self.fail(id, reason)]

    @property
    def running(self) -> dict[str, Hashable]:
        """Units in somebody's hands, and in whose."""
        return dict(self._holder)

    @property
    def left(self) -> int:
        """Units that are neither done nor parked, those included that can never run."""
        return len(self._units) - len(self.parked)

    @property
    def over(self) -> bool:
        """Nothing runs and nothing is ready: all is done, or waits for what is parked."""
        return not self._holder and not self._ready

    def _release(self, id: str) -> None:
        self._held[self._holder.pop(id)].discard(id)

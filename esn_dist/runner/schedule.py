"""Which unit may run next: a pure state machine over units, what they need, who has them, and how often they failed.

Knows nothing of Ray, models or stores; the driver tells it what happened. Every event costs the same however many units
there are, and a million units that wait fit into a few hundred megabytes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType

from esn_dist.sweep.enums import Step
from esn_dist.sweep.units import Unit

ATTEMPTS = 3  # a unit that failed so often is parked, and the rest goes on


class Schedule:
    """Units, handed out once all that they need is done.

    Steps go in their order, for the early ones are waited for; inside a step, units go in the order in which they
    became ready.

    Attributes:
        done: ids of finished units that were added, those that an earlier run finished included.
        parked: id → reason, of units that failed too often. What needs them never runs.
        finished, known: units of each step that are done, and that were added.
    """

    def __init__(self, done: Iterable[str] = ()) -> None:
        self.done: set[str] = set()
        self.parked: dict[str, str] = {}
        self.finished: Counter[Step] = Counter()
        self.known: Counter[Step] = Counter()
        self._earlier = set(done)  # done by earlier runs, and not added in this one
        self._units: dict[str, Unit] = {}  # added and not done
        self._ready: dict[Step, deque[str]] = {step: deque() for step in Step}
        self._missing: dict[str, int] = {}  # unit or joint → how many of its needs are not done
        self._needed_by: dict[str, list[str]] = {}
        self._reached: set[str] = set()  # joints
        self._holder: dict[str, Hashable] = {}
        self._held: dict[Hashable, set[str]] = {}
        self._failures: dict[str, int] = {}

    def add(self, unit: Unit, needs: Iterable[str] = ()) -> None:
        """Plan `unit`; one that is done, or known already, is left as it is."""
        id = unit.id
        if id in self._units or id in self.done:
            return
        self.known[unit.step] += 1
        if id in self._earlier:
            self._earlier.discard(id)
            self._count(unit)
            return
        self._units[id] = unit
        if not self._wait(id, needs):
            self._ready[unit.step].append(id)

    def join(self, name: str, needs: Iterable[str]) -> None:
        """From now on `name`, which is no unit's id, stands for all of `needs`.

        What thousands of units need in common is kept once, and not with each of them.
        """
        if not self._wait(name, needs):
            self._reached.add(name)

    def ready(self, *steps: Step) -> int:
        """How many units of `steps` could be taken now."""
        return sum(len(self._ready[step]) for step in steps)

    def take(self, worker: Hashable, *steps: Step) -> Unit | None:
        """Hand the first ready unit of `steps` (of all, where none is named) to `worker`; None where none is ready."""
        for step in steps or Step:
            if self._ready[step]:
                id = self._ready[step].popleft()
                self._holder[id] = worker
                self._held.setdefault(worker, set()).add(id)
                return self._units[id]
        return None

    def finish(self, id: str) -> None:
        """`id`, which somebody holds, is done."""
        self._release(id)
        self._count(self._units.pop(id))
        self._free_what_needs(id)

    def fail(self, id: str, reason: str) -> bool:
        """`id`, which somebody holds, failed: it is the next of its step again, or parked; returns whether parked."""
        self._release(id)
        self._failures[id] = self._failures.get(id, 0) + 1
        if self._failures[id] >= ATTEMPTS:
            self.parked[id] = reason
            return True
        self._ready[self._units[id].step].appendleft(id)
        return False

    def park(self, id: str, reason: str) -> None:
        """`id`, which somebody holds, can never succeed."""
        self._release(id)
        self.parked[id] = reason

    def lose(self, worker: Hashable, reason: str) -> list[str]:
        """`worker` is gone: each unit that it held counts as failed; returns those that are parked thereby."""
        return [id for id in sorted(self._held.get(worker, ())) if self.fail(id, reason)]

    @property
    def running(self) -> Mapping[str, Hashable]:
        """Units in somebody's hands, and in whose; a view, not a copy."""
        return MappingProxyType(self._holder)

    @property
    def left(self) -> int:
        """Units that are neither done nor parked, those included that can never run."""
        return len(self._units) - len(self.parked)

    @property
    def over(self) -> bool:
        """Nothing runs and nothing is ready: all is done, or waits for what is parked."""
        return not self._holder and not any(self._ready.values())

    def _count(self, unit: Unit) -> None:
        self.done.add(unit.id)
        self.finished[unit.step] += 1

    def _wait(self, name: str, needs: Iterable[str]) -> int:
        """Have `name` wait for those of `needs` that are not done; returns how many."""
        missing = [need for need in dict.fromkeys(needs) if not self._is_done(need)]
        for need in missing:
            self._needed_by.setdefault(need, []).append(name)
        if missing:
            self._missing[name] = len(missing)
        return len(missing)

    def _is_done(self, need: str) -> bool:
        return need in self.done or need in self._earlier or need in self._reached

    def _free_what_needs(self, done: str) -> None:
        for name in self._needed_by.pop(done, ()):
            self._missing[name] -= 1
            if self._missing[name]:
                continue
            del self._missing[name]
            if name in self._units:
                self._ready[self._units[name].step].append(name)
            else:
                self._reached.add(name)
                self._free_what_needs(name)

    def _release(self, id: str) -> None:
        self._held[self._holder.pop(id)].discard(id)

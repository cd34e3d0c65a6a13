"""Which unit may run next: a pure state machine over units, their needs, their workers and their failures.

Knows nothing of Ray, models or stores; the driver reports every event to it. An event costs the same however many units
there are, and a million waiting units fit into a few hundred megabytes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType

from esn_dist.sweep.units import Step, Unit

ATTEMPTS = 3  # a unit that failed this often is given up, and the rest goes on


class Schedule:
    """Units, each ready once all that it needs is done.

    Steps are served in their order, since later steps wait for them. Within a step, units are served in the order in
    which they became ready.

    Attributes:
        done: ids of finished units that were added, including those that an earlier run finished.
        failed: id → reason, of units that were given up. What needs them never runs.
        finished, added: units of each step that are done, and that were added.
    """

    def __init__(self, done: Iterable[str] = ()) -> None:
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}
        self.finished: Counter[Step] = Counter()
        self.added: Counter[Step] = Counter()
        self._done_earlier = set(done)  # by earlier runs, and not added in this one
        self._units: dict[str, Unit] = {}  # added and not done
        self._ready: dict[Step, deque[str]] = {step: deque() for step in Step}
        self._unmet_count: dict[str, int] = {}  # unit or barrier → how many of its needs are not done
        self._needed_by: dict[str, list[str]] = {}
        self._reached_barriers: set[str] = set()
        self._worker_of: dict[str, Hashable] = {}
        self._units_of: dict[Hashable, set[str]] = {}
        self._failures: dict[str, int] = {}

    def add(self, unit: Unit, needs: Iterable[str] = ()) -> None:
        """Plan `unit`. A unit that is done or known is left as it is."""
        id = unit.id
        if id in self._units or id in self.done:
            return
        self.added[unit.step] += 1
        if id in self._done_earlier:
            self._done_earlier.discard(id)
            self._count(unit)
            return
        self._units[id] = unit
        if not self._wait(id, needs):
            self._ready[unit.step].append(id)

    def barrier(self, name: str, needs: Iterable[str]) -> None:
        """Register a barrier `name` that is reached once all of `needs` are done.

        Units may need it like a unit. Needs that thousands of units share are so kept once. `name` is no unit's id.
        """
        if not self._wait(name, needs):
            self._reached_barriers.add(name)

    def ready(self, *steps: Step) -> int:
        """Number of ready units of `steps`."""
        return sum(len(self._ready[step]) for step in steps)

    def next_ready(self, worker: Hashable, *steps: Step) -> Unit | None:
        """The first ready unit of `steps` (default: of all steps), now in flight on `worker`; None if none is ready."""
        for step in steps or Step:
            if self._ready[step]:
                id = self._ready[step].popleft()
                self._worker_of[id] = worker
                self._units_of.setdefault(worker, set()).add(id)
                return self._units[id]
        return None

    def finish(self, id: str) -> None:
        """`id`, which is in flight, is done."""
        self._release(id)
        self._count(self._units.pop(id))
        self._notify(id)

    def fail(self, id: str, reason: str) -> bool:
        """An attempt at `id`, which is in flight, failed: it is the next of its step again, or given up.

        Returns:
            Whether it is given up.
        """
        self._release(id)
        self._failures[id] = self._failures.get(id, 0) + 1
        if self._failures[id] >= ATTEMPTS:
            self.failed[id] = reason
            return True
        self._ready[self._units[id].step].appendleft(id)
        return False

    def give_up(self, id: str, reason: str) -> None:
        """`id`, which is in flight, can never succeed."""
        self._release(id)
        self.failed[id] = reason

    def worker_died(self, worker: Hashable, reason: str) -> list[str]:
        """Each unit in flight on `worker` counts as failed; returns the units that are given up therefore."""
        return [id for id in sorted(self._units_of.get(worker, ())) if self.fail(id, reason)]

    def worker_preempted(self, worker: Hashable) -> None:
        """Each unit in flight on `worker` is the next of its step again; no attempt is counted."""
        for id in sorted(self._units_of.get(worker, ()), reverse=True):
            self._release(id)
            self._ready[self._units[id].step].appendleft(id)

    @property
    def in_flight(self) -> Mapping[str, Hashable]:
        """Units in flight, with their workers. A view, not a copy."""
        return MappingProxyType(self._worker_of)

    @property
    def remaining(self) -> int:
        """Number of units that are neither done nor given up, including those that can never run."""
        return len(self._units) - len(self.failed)

    @property
    def exhausted(self) -> bool:
        """Nothing is in flight and nothing is ready: every unit is done, given up, or needs one that was given up."""
        return not self._worker_of and not any(self._ready.values())

    def _count(self, unit: Unit) -> None:
        self.done.add(unit.id)
        self.finished[unit.step] += 1

    def _wait(self, name: str, needs: Iterable[str]) -> int:
        """Let `name` wait for those of `needs` that are not done; returns how many."""
        missing = [need for need in dict.fromkeys(needs) if not self._is_done(need)]
        for need in missing:
            self._needed_by.setdefault(need, []).append(name)
        if missing:
            self._unmet_count[name] = len(missing)
        return len(missing)

    def _is_done(self, need: str) -> bool:
        return need in self.done or need in self._done_earlier or need in self._reached_barriers

    def _notify(self, done: str) -> None:
        """Make ready what waited for nothing but `done`."""
        for name in self._needed_by.pop(done, ()):
            self._unmet_count[name] -= 1
            if self._unmet_count[name]:
                continue
            del self._unmet_count[name]
            if name in self._units:
                self._ready[self._units[name].step].append(name)
            else:
                self._reached_barriers.add(name)
                self._notify(name)

    def _release(self, id: str) -> None:
        self._units_of[self._worker_of.pop(id)].discard(id)

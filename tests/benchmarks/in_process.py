"""A backend in this process: the program's own executor, without a process or a cluster to start."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from esn_dist.backends.ray_actor import Actor
from esn_dist.sweep.units import Unit
from esn_dist.worker.job import Job
from esn_dist.worker.load_tracker import LoadTracker
from esn_dist.worker.protocol import ActorEvent, Failed, Finished, GpuInfo, Joined, UnitExecutor


class InProcessPool:
    """An `ActorPool`; a unit is executed when it is submitted.

    Args:
        start: makes the executor of one actor.
    """

    def __init__(self, start: Callable[[], UnitExecutor], size: int) -> None:
        self.size = size
        self._executors = [start() for _ in range(size)]
        self._load = LoadTracker()
        self._ended: list[Finished | Failed] = []

    def least_loaded(self, max_in_flight: int) -> int | None:
        return self._load.least_loaded(max_in_flight)

    def submit(self, actor: int, unit: Unit) -> None:
        self._load.change(actor, +1)
        try:
            self._ended.append(Finished(actor, self._executors[actor].execute(unit)))
        except Exception as error:
            self._ended.append(Failed(actor, unit.id, str(error), traceback.format_exc()))

    def events(self, timeout: float) -> list[ActorEvent]:
        if not len(self._load):
            return self._join()
        ended, self._ended = self._ended, []
        for event in ended:
            self._load.change(event.actor, -1)
        return [*ended]

    def stop(self) -> None:
        self._ended.clear()

    def _join(self) -> list[ActorEvent]:
        for actor in range(self.size):
            self._load.add(actor)
        return [Joined(actor, executor.load_seconds()) for actor, executor in enumerate(self._executors)]


class InProcessBackend:
    """A `Backend` and its own `Session`, without a GPU."""

    default_actors = 1

    @contextmanager
    def session(self, actors: int | None) -> Iterator[InProcessBackend]:
        yield self

    def gpus_per_node(self) -> list[int]:
        return []

    def inspect_gpu(self) -> GpuInfo:
        raise NotImplementedError("there is no GPU")

    def start_pool(self, job: Job, size: int) -> InProcessPool:
        return InProcessPool(lambda: Actor(job), size)

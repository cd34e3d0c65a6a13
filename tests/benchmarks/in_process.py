"""A backend of one actor in this process: the real body of an actor, without a process or a cluster to start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from esn_dist.backends.ray_actor import Actor
from esn_dist.sweep.units import Unit
from esn_dist.worker.job import Job
from esn_dist.worker.protocol import ActorEvent, Finished, GpuInfo, Joined


class InProcessPool:
    """An `ActorPool`; a unit is executed when it is submitted."""

    size = 1

    def __init__(self, job: Job) -> None:
        self._actor = Actor(job)
        self._events: list[ActorEvent] = [Joined(0, self._actor.load_seconds())]

    def least_loaded(self, max_in_flight: int) -> int | None:
        return 0 if len(self._events) < max_in_flight else None

    def submit(self, actor: int, unit: Unit) -> None:
        self._events.append(Finished(actor, self._actor.execute(unit)))

    def events(self, timeout: float) -> list[ActorEvent]:
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """Nothing to kill."""


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
        return InProcessPool(job)

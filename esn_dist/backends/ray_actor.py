"""The Ray actor: one process that holds one model, executes units, and publishes each unit's done-mark after its data.

The executor computes; this module knows only what happens between processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import ray

from esn_dist.errors import UserError
from esn_dist.store.done import publish
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease
from esn_dist.sweep.units import Unit
from esn_dist.worker.job import Job
from esn_dist.worker.protocol import Receipt, UnitExecutor

if TYPE_CHECKING:
    from esn_dist.worker.executor import Executor

THREADS = 2  # of an actor: one unit's results are written while the next one's are computed

Reference: TypeAlias = "ray.ObjectRef[float | Receipt]"


class Actor:
    """An `UnitExecutor`: holds the job's model from construction on, or the `UserError` that prevents it."""

    def __init__(self, job: Job) -> None:
        # Imported here: the driver imports this module, and does not need the packages that run models.
        from esn_dist.worker.executor import Executor

        self.folder = StoreFolder(job.root)
        self.lease = Lease(job.lease, self.folder.backend)
        self._loaded: Executor | UserError
        started = time.monotonic()
        try:
            self._loaded = Executor(job)
        except UserError as error:
            # Raised here it would kill the actor, and the one that replaces it would fail in the same way.
            self._loaded = error
        self._load_seconds = time.monotonic() - started

    def load_seconds(self) -> float:
        """See `UnitExecutor.load_seconds`."""
        self._executor()
        return self._load_seconds

    def execute(self, unit: Unit) -> Receipt:
        """Execute `unit` and publish its done-mark.

        Raises:
            LeaseLost: another driver has taken the store over; nothing is published.
            UserError: the model could not be loaded.
        """
        started = time.monotonic()
        executor = self._executor()
        output = executor.execute(unit)
        publish(self.folder, unit.id, output.files, self.lease)
        seconds = time.monotonic() - started
        return Receipt(unit.id, seconds, output.unreadable_clips, output.splits, executor.peak_bytes)

    def _executor(self) -> Executor:
        if isinstance(self._loaded, UserError):
            raise self._loaded
        return self._loaded


class RemoteMethod(Protocol):
    """A method of an actor in another process."""

    def remote(self, *arguments: object) -> Reference:
        """Start a call and return at once."""


class RemoteExecutor(Protocol):
    """Ray's handle of a `UnitExecutor`. Ray itself gives its methods no types."""

    @property
    def load_seconds(self) -> RemoteMethod:
        """See `UnitExecutor.load_seconds`."""

    @property
    def execute(self) -> RemoteMethod:
        """See `UnitExecutor.execute`."""


class RayActorHandle:
    """An `ActorHandle` of an actor in a Ray cluster."""

    def __init__(self, actor: RemoteExecutor) -> None:
        self._actor = actor

    def load_seconds(self) -> Reference:
        return self._actor.load_seconds.remote()

    def submit(self, unit: Unit) -> Reference:
        return self._actor.execute.remote(unit)

    def kill(self) -> None:
        ray.kill(self._actor)  # type: ignore[arg-type]  # Ray's own handle, typed by what is called of it


def start_actor(
    body: Callable[..., UnitExecutor], *arguments: object, num_cpus: float = 1, num_gpus: float = 0
) -> RayActorHandle:
    """Start an actor whose process constructs `body(*arguments)`; returns before it is constructed."""
    # No restarts by Ray: the pool replaces a dead actor, and the driver submits its units again.
    remote = ray.remote(max_restarts=0, max_task_retries=0)(body)
    actor = remote.options(num_cpus=num_cpus, num_gpus=num_gpus, max_concurrency=THREADS).remote(*arguments)
    return RayActorHandle(actor)

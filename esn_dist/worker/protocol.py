"""The boundary between the driver and whatever executes units: receipts, events, and the protocols of both sides.

A backend implements `Backend`, `Session` and `ActorPool`; the driver uses nothing else of it. Knows no Ray, no model
and no store.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from esn_dist.sweep.units import Unit
from esn_dist.worker.job import Job

MAX_IN_FLIGHT = 3  # units of one actor: one is computed, one is written, and one waits, so that the actor never does


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an actor reports of a finished unit; the data itself is in the store.

    Attributes:
        unreadable_clips: utterances whose audio could not be read, with reasons.
        splits: batches that did not fit into memory and were answered in halves.
        peak_bytes: most memory that the actor has used on a GPU so far.
    """

    unit: str
    seconds: float
    unreadable_clips: tuple[str, ...] = ()
    splits: int = 0
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """An actor has joined: it loaded its model in `load_seconds` and can take units."""

    actor: int
    load_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit is finished, and its done-mark is published."""

    actor: int
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Failed:
    """A unit raised; the actor keeps running. `traceback` is the actor's."""

    actor: int
    unit: str
    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Left:
    """An actor was taken away by the cluster (preempted, drained). Its units are not at fault."""

    actor: int
    reason: str


@dataclass(frozen=True, slots=True)
class Died:
    """An actor is dead. Any of its units may be the cause."""

    actor: int
    reason: str


ActorEvent = Joined | Finished | Failed | Left | Died


class ActorPool(Protocol):
    """Actors that execute units. They join, leave and die as events; units of one that is gone are the driver's again.

    `esn_dist.testing.pools.ActorPoolConformance` tests an implementation.
    """

    @property
    def size(self) -> int:
        """Number of actors that are ready or still loading."""

    def least_loaded(self, max_in_flight: int) -> int | None:
        """The ready actor with the fewest units in flight, if fewer than `max_in_flight`; None if there is none."""

    def submit(self, actor: int, unit: Unit) -> None:
        """Have `actor` execute `unit` after the units that it has in flight already."""

    def events(self, timeout: float) -> list[ActorEvent]:
        """What happened within `timeout` seconds. Returns at the first event, with all that have happened by then.

        Raises:
            UserError: an actor cannot load its model, and no other could.
        """

    def stop(self) -> None:
        """Kill all actors. Units in flight are lost."""


class UnitExecutor(Protocol):
    """The object inside an actor's process."""

    def load_seconds(self) -> float:
        """Seconds that loading the model took. Returns once the model is loaded.

        Raises:
            UserError: the model cannot be loaded until the user fixes something.
        """

    def execute(self, unit: Unit) -> Receipt:
        """Execute `unit` and publish its done-mark."""


CallRef = TypeVar("CallRef", covariant=True)


class ActorHandle(Protocol[CallRef]):
    """The driver's handle of one actor. Its methods return at once; a `CallRef` is what a pool waits for."""

    def load_seconds(self) -> CallRef:
        """Call `UnitExecutor.load_seconds`."""

    def submit(self, unit: Unit) -> CallRef:
        """Call `UnitExecutor.execute` with `unit`."""

    def kill(self) -> None:
        """End the actor's process. Units in flight are lost."""


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """A GPU of the cluster.

    Attributes:
        memory_bytes: size of its memory.
        has_compiler: whether kernels can be compiled there.
    """

    memory_bytes: int
    has_compiler: bool


class Session(Protocol):
    """A cluster that is up, started for this run or attached to."""

    @property
    def default_actors(self) -> int:
        """Number of actors where the user names none: one per GPU, else one per CPU core."""

    def gpus_per_node(self) -> list[int]:
        """Number of GPUs of each node."""

    def inspect_gpu(self) -> GpuInfo:
        """Look at a GPU from a process on its node. The driver's machine may have none."""

    def start_pool(self, job: Job, size: int) -> ActorPool:
        """Start `size` actors that each load the job's model. Returns at once; `Joined` events follow."""


class Backend(Protocol):
    """A kind of cluster. `esn_dist.testing.sessions.BackendConformance` tests an implementation."""

    def session(self, actors: int | None) -> AbstractContextManager[Session]:
        """Attach to the cluster, or start one with cores for `actors`; shut it down, or detach, at the end."""

"""Events of a run, as lines of the log `log/events.jsonl`: one type per event, with the name that earlier logs gave it.

Knows no files and no schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run. `name` is its name in the log, `legacy_name` the name that older logs have."""

    name: ClassVar[str]
    legacy_name: ClassVar[str | None] = None  # earlier versions did not log the event

    @property
    def subject(self) -> str:
        """The unit or worker that it happened to: the key `unit` of the log."""
        raise NotImplementedError

    @property
    def details(self) -> tuple[str, ...]:
        """What happened, as texts: the key `details` of the log."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _UnitEvent(Event):
    unit: str

    @property
    def subject(self) -> str:
        return self.unit


@dataclass(frozen=True, slots=True)
class _WorkerEvent(Event):
    worker: int

    @property
    def subject(self) -> str:
        return f"actor {self.worker}"


@dataclass(frozen=True, slots=True)
class UnreadableClips(_UnitEvent):
    """Clips of a finished unit that could not be read, each with its reason."""

    name: ClassVar[str] = "unreadable_clips"
    legacy_name: ClassVar[str] = "clip"
    clips: tuple[str, ...]

    @property
    def details(self) -> tuple[str, ...]:
        return self.clips


@dataclass(frozen=True, slots=True)
class BatchesSplit(_UnitEvent):
    """Batches of a finished unit that did not fit into a GPU's memory and were answered in halves."""

    name: ClassVar[str] = "batches_split"
    legacy_name: ClassVar[str] = "split"
    batches: int

    @property
    def details(self) -> tuple[str, ...]:
        return (f"{self.batches} batches were answered in halves",)


@dataclass(frozen=True, slots=True)
class AttemptFailed(_UnitEvent):
    """An attempt at a unit that failed; the unit is tried again."""

    name: ClassVar[str] = "attempt_failed"
    legacy_name: ClassVar[str] = "failed"
    traceback: str

    @property
    def details(self) -> tuple[str, ...]:
        return (self.traceback,)


@dataclass(frozen=True, slots=True)
class GaveUp(_UnitEvent):
    """A unit that failed for good, with the reason or the traceback of its last attempt."""

    name: ClassVar[str] = "gave_up"
    legacy_name: ClassVar[str] = "parked"
    reason: str

    @property
    def details(self) -> tuple[str, ...]:
        return (self.reason,)


@dataclass(frozen=True, slots=True)
class ModelLoaded(_WorkerEvent):
    """A worker has loaded its model."""

    name: ClassVar[str] = "model_loaded"
    legacy_name: ClassVar[str] = "ready"
    seconds: float

    @property
    def details(self) -> tuple[str, ...]:
        return (f"its model was loaded in {self.seconds:.1f} s",)


@dataclass(frozen=True, slots=True)
class WorkerDied(_WorkerEvent):
    """A worker that died. `failed` are the units that failed for good by its death."""

    name: ClassVar[str] = "worker_died"
    legacy_name: ClassVar[str] = "actor died"
    reason: str
    failed: tuple[str, ...] = ()

    @property
    def details(self) -> tuple[str, ...]:
        return (self.reason, *self.failed)


@dataclass(frozen=True, slots=True)
class WorkerPreempted(_WorkerEvent):
    """A worker that the cluster took away. Its units are tried again, and no attempt of theirs is counted."""

    name: ClassVar[str] = "worker_preempted"
    reason: str

    @property
    def details(self) -> tuple[str, ...]:
        return (self.reason,)


EVENT_TYPES: tuple[type[Event], ...] = (
    UnreadableClips,
    BatchesSplit,
    AttemptFailed,
    GaveUp,
    ModelLoaded,
    WorkerDied,
    WorkerPreempted,
)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A line of the event log, of this version or an earlier one. `name` is the name that this version gives it."""

    time: datetime
    name: str
    subject: str
    details: tuple[str, ...]

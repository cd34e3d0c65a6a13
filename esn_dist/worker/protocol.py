"""What can happen to a unit in an actor's hands, and what the driver's loop asks of those that execute units.

Knows nothing of Ray: whoever can be fed units and tells what became of them can serve the loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from esn_dist.errors import UserError
from esn_dist.sweep.units import SelectUnit, Unit


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an actor reports of a finished unit; the data itself is in the store.

    Attributes:
        lost: utterances that could not be read, with reasons.
        splits: batches that did not fit into memory and were answered in halves.
        peak_bytes: most memory that the actor has used on a GPU so far.
    """

    unit: str
    seconds: float
    lost: tuple[str, ...]
    splits: int = 0
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit that an actor finished."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Failed:
    """A unit that raised; the actor lives on. `traceback` is the actor's."""

    unit: str
    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Died:
    """An actor that is gone, with all that it held; it has been replaced by a new one."""

    actor: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """An actor has loaded its model, in so many seconds."""

    actor: int
    seconds: float


Event = Finished | Failed | Died | Ready


class Workers(Protocol):
    """Actors, however they run."""

    def __len__(self) -> int:
        """How many there are."""

    def hungry(self, ahead: bool) -> int | None:
        """The emptiest actor that may be given a unit: an idle one, or `ahead` of its need one that is busy."""

    def give(self, actor: int, unit: Unit) -> None:
        """Have `actor` execute `unit` after what it holds already."""

    def events(self, timeout: float) -> list[Event]:
        """What happened within `timeout` seconds; returns at the first thing that did."""


class OwnWork(Protocol):
    """Whoever executes the driver's own units, one after another, while the loop goes on."""

    @property
    def busy(self) -> bool:
        """Whether any unit is in hand."""

    @property
    def has_room(self) -> bool:
        """Whether another unit may be given."""

    def give(self, unit: SelectUnit) -> None:
        """Execute `unit` after those given before."""

    def results(self) -> list[tuple[str, UserError | None]]:
        """Units that ended since the last look, each with what made it impossible, if anything did."""

"""What can happen to a unit in an actor's hands, and what the driver's loop asks of those that hold actors.

Knows nothing of Ray: whoever can be fed units and tells of events can serve the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from esn_dist.sweep.units import Unit

if TYPE_CHECKING:
    from esn_dist.cluster.actor import Receipt


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


Event = Finished | Failed | Died


class Workers(Protocol):
    """Actors, however they run."""

    @property
    def hungry(self) -> Iterable[int]:
        """Actors that may be given a unit now."""

    def give(self, actor: int, unit: Unit) -> None:
        """Have `actor` execute `unit` after what it holds already."""

    def events(self, timeout: float) -> list[Event]:
        """What happened within `timeout` seconds; returns at the first thing that did."""

"""GPU-hours from measured rates: what nobody measured is unknown, never zero, and a sum says what it leaves out.

Three parts, one after another on one device: answering, identification (answers with counts), encoding of clips. Knows
no plan: how much there is to do is given. Starting, loading, selection and idle ends are in no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from esn_dist.sweep.rates import Rate

RATE_OF_WORK = {
    "answering": "answers_per_second",
    "identification": "counted_per_second",
    "encoding": "clips_per_second",
}
"""The parts of a sweep's hours, and the rate that each is divided by."""

WorkHours = dict[str, float | None]
"""Hours of each part; None: unknown."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do of each part; None: nobody knows.

    Attributes:
        answering: answers, baselines included.
        identification: candidates asked at most.
        encoding: clips at most, each once.
    """

    answering: int
    identification: int | None = 0
    encoding: int | None = 0


@dataclass(frozen=True, slots=True)
class TotalHours:
    """Hours of all that is known, and what is not in it: models, or parts of a model."""

    hours: float
    left_out: tuple[str, ...]


def hours_by_device(work: Mapping[str, Work], rates: Mapping[str, Sequence[Rate]]) -> dict[str, dict[str, WorkHours]]:
    """Hours of each model on each device on which one of them was measured.

    Args:
        work, rates: by the model's name in the sweep.

    Returns:
        By device and by model; a model that was not measured on a device has no known part there.
    """
    devices = sorted({rate.device for name in work for rate in rates[name]})
    found = {(name, rate.device): rate for name in work for rate in rates[name]}
    return {d: {name: _hours(todo, found.get((name, d))) for name, todo in work.items()} for d in devices}


def total_hours(hours: Mapping[str, Mapping[str, WorkHours]]) -> dict[str, TotalHours]:
    """One sum for each device of `hours_by_device` on which something is known; nothing for the others."""
    return {
        device: TotalHours(
            sum(n for parts in models.values() for n in parts.values() if n is not None),
            tuple(lost for name, parts in models.items() for lost in _left_out(name, parts)),
        )
        for device, models in hours.items()
        if any(n for parts in models.values() for n in parts.values())
    }


def _hours(work: Work, rate: Rate | None) -> WorkHours:
    return {part: _over(getattr(work, part), getattr(rate, per, None)) for part, per in RATE_OF_WORK.items()}


def _over(number: int | None, per_second: float | None) -> float | None:
    if number == 0:
        return 0.0  # what is not done costs nothing at any rate
    return None if number is None or per_second is None else number / per_second / 3600


def _left_out(name: str, parts: WorkHours) -> list[str]:
    """The model itself where nothing of its work is known."""
    unknown = [part for part, n in parts.items() if n is None]
    return [f"{part} of {name}" for part in unknown] if any(parts.values()) else [name][: len(unknown)]

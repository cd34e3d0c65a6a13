"""GPU-hours from measured rates. Without a rate they are unknown, never zero, and a sum says what it leaves out.

Three parts run one after another on one device: answering, identification (answers with counts), encoding of clips.
Knows no plan: amounts of work are given. No number includes starting, loading, selection or idle time.
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
    """The amount of each part; None: unknown.

    Attributes:
        answering: answers, baselines included.
        identification: upper limit of the candidates that are answered.
        encoding: upper limit of the clips, each once.
    """

    answering: int
    identification: int | None = 0
    encoding: int | None = 0


@dataclass(frozen=True, slots=True)
class TotalHours:
    """Hours of all known work, and the names of models or parts of a model that are not included."""

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
    rate_on = {(name, rate.device): rate for name in work for rate in rates[name]}
    return {
        device: {name: _hours(of_model, rate_on.get((name, device))) for name, of_model in work.items()}
        for device in devices
    }


def total_hours(hours: Mapping[str, Mapping[str, WorkHours]]) -> dict[str, TotalHours]:
    """One sum for each device of `hours_by_device`; devices on which nothing is known are left out."""
    return {
        device: TotalHours(
            sum(n for parts in models.values() for n in parts.values() if n is not None),
            tuple(entry for name, parts in models.items() for entry in _left_out(name, parts)),
        )
        for device, models in hours.items()
        if any(n for parts in models.values() for n in parts.values())
    }


def _hours(work: Work, rate: Rate | None) -> WorkHours:
    return {part: _over(getattr(work, part), getattr(rate, per, None)) for part, per in RATE_OF_WORK.items()}


def _over(number: int | None, per_second: float | None) -> float | None:
    if number == 0:
        return 0.0  # no work takes no time at any rate
    return None if number is None or per_second is None else number / per_second / 3600


def _left_out(name: str, parts: WorkHours) -> list[str]:
    """The unknown parts of a model; its name alone where nothing of its work is known."""
    unknown = [f"{part} of {name}" for part, hours in parts.items() if hours is None]
    if not unknown or any(parts.values()):
        return unknown
    return [name]

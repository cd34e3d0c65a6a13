"""The planner's forecast of a slice against what was measured, of each part and of the whole; or why it cannot be told.

Knows nothing of where the figures come from, nor of how the planner forecasts: its rates and sums are its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from esn_dist.sweep.cost import RATE_OF_WORK, Work, hours_by_device
from esn_dist.sweep.rates import forecast_error, known_rates

STEPS = {"answer": "answering", "identify": "identification", "encode": "encoding"}
"""The steps of a sweep that are forecast, and what the planner calls them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of a slice.

    Attributes:
        steady: things per second of each of `STEPS`, of all actors together; None: too few units.
        things: how many there were of each.
        seconds: from the first actor's readiness to the last mark; None: no actor was seen to be ready.
        spoilt: why a step tells nothing about speed, or "whole" does not; by step.
    """

    steady: Mapping[str, float | None]
    things: Mapping[str, int]
    seconds: float | None
    spoilt: Mapping[str, str]


def errors(model: str, gpus: Collection[str], actors: int, measured: Measured) -> dict[str, float | str]:
    """Forecast seconds over measured ones, less one, of each step and of the "whole"; or why there are none.

    Positive: it was faster than forecast. Of the whole, the forecast is the work of all steps one after another, dealt
    evenly to `actors`; what was measured holds selection, idle ends and late actors too.

    Args:
        gpus: names of the actors' GPUs.
    """
    if problem := unlike_the_rates(model, gpus):
        return dict.fromkeys((*STEPS, "whole"), problem)
    device = next(iter(gpus))
    found: dict[str, float | str] = {step: _of_step(step, model, device, actors, measured) for step in STEPS}
    return found | {"whole": _of_whole(model, device, actors, measured)}


def unlike_the_rates(model: str, gpus: Collection[str]) -> str | None:
    """Why no rate speaks of these GPUs, if none does."""
    names = set(gpus)
    if len(names) != 1:
        return "GPUs of several sorts" if names else "no GPU"
    known = any((rate.model, rate.device) == (model, *names) for rate in known_rates())
    return None if known else f"no rate of {model} was measured on {names.pop()}"


def _of_step(step: str, model: str, device: str, actors: int, measured: Measured) -> float | str:
    if step in measured.spoilt:
        return measured.spoilt[step]
    pace = measured.steady[step]
    if pace is None:
        return "too few units for a steady pace"
    error = forecast_error(model, device, pace, actors, RATE_OF_WORK[STEPS[step]])
    return "no rate of this step was measured" if error is None else round(error, 3)


def _of_whole(model: str, device: str, actors: int, measured: Measured) -> float | str:
    if measured.spoilt:
        return next(iter(measured.spoilt.values()))
    if not measured.seconds:
        return "no actor was seen to be ready"
    work = Work(**{part: measured.things[step] for step, part in STEPS.items()})
    rates = [rate for rate in known_rates() if rate.model == model]
    hours = hours_by_device({model: work}, {model: rates})[device][model]
    if unknown := [part for part, number in hours.items() if number is None]:
        return f"no rate was measured of {', '.join(unknown)}"
    forecast = 3600 * sum(number for number in hours.values() if number is not None) / actors
    return round(forecast / measured.seconds - 1, 3)

"""Errors of the planner's forecast of a slice, of each step and of the whole; or the reason why there is none.

Knows nothing of where the figures come from. The forecast uses the planner's own rates and sums.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from esn_dist.sweep.cost import RATE_OF_WORK, Work, hours_by_device
from esn_dist.sweep.rates import forecast_error, known_rates

STEPS = {"answer": "answering", "identify": "identification", "encode": "encoding"}
"""The steps of a sweep that are forecast, and their names in the planner."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of a slice.

    Attributes:
        steady: items per second of each of `STEPS`, of all actors together; None: too few units.
        items: their number by step.
        seconds: from the first actor's readiness to the last mark; None: no actor was ready.
        excluded: why a step, or the "whole", is not comparable with the forecast; by step.
    """

    steady: Mapping[str, float | None]
    items: Mapping[str, int]
    seconds: float | None
    excluded: Mapping[str, str]


def errors(model: str, gpus: Collection[str], actors: int, measured: Measured) -> dict[str, float | str]:
    """Forecast seconds over measured ones, less one, of each step and of the "whole"; or why there are none.

    Positive: it was faster than forecast. The forecast of the whole is the work of all steps one after another, spread
    evenly over `actors`; the measurement includes selection, idle ends and late actors too.

    Args:
        gpus: names of the actors' GPUs.
    """
    if problem := why_no_rate_applies(model, gpus):
        return dict.fromkeys((*STEPS, "whole"), problem)
    device = next(iter(gpus))
    errors_by_step: dict[str, float | str] = {step: _of_step(step, model, device, actors, measured) for step in STEPS}
    return errors_by_step | {"whole": _of_whole(model, device, actors, measured)}


def why_no_rate_applies(model: str, gpus: Collection[str]) -> str | None:
    """Why no measured rate applies to these GPUs; None where one does."""
    names = set(gpus)
    if len(names) != 1:
        return "several models of GPUs" if names else "no GPU"
    known = any((rate.model, rate.device) == (model, *names) for rate in known_rates())
    return None if known else f"no rate of {model} was measured on {names.pop()}"


def _of_step(step: str, model: str, device: str, actors: int, measured: Measured) -> float | str:
    if step in measured.excluded:
        return measured.excluded[step]
    pace = measured.steady[step]
    if pace is None:
        return "too few units for a steady pace"
    error = forecast_error(model, device, pace, actors, RATE_OF_WORK[STEPS[step]])
    return "no rate of this step was measured" if error is None else round(error, 3)


def _of_whole(model: str, device: str, actors: int, measured: Measured) -> float | str:
    if measured.excluded:
        return next(iter(measured.excluded.values()))
    if not measured.seconds:
        return "no actor was ready"
    work = Work(**{part: measured.items[step] for step, part in STEPS.items()})
    rates = [rate for rate in known_rates() if rate.model == model]
    hours = hours_by_device({model: work}, {model: rates})[device][model]
    if unknown := [part for part, number in hours.items() if number is None]:
        return f"no rate was measured of {', '.join(unknown)}"
    forecast = 3600 * sum(number for number in hours.values() if number is not None) / actors
    return round(forecast / measured.seconds - 1, 3)

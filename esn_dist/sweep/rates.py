"""Measured speeds that are shipped with the package, each with its date and how it was measured (`rates.yaml`)."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.spec import ModelSpec


class Rate(BaseModel):
    """What one registered model does per second, in its registered dtype, on one device of that name.

    Attributes:
        answers_per_second: in a sweep, from done-mark to done-mark.
        counted_per_second: answers with counts (identification); None: not measured.
        clips_per_second: encoded in a sweep; None: not measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    device: str
    answers_per_second: float = Field(gt=0)
    counted_per_second: float | None = Field(None, gt=0)
    clips_per_second: float | None = Field(None, gt=0)
    date: date
    how: str


@cache
def known_rates() -> tuple[Rate, ...]:
    """Every measured rate. No rate is used for a model or a device that was not measured."""
    text = files("esn_dist.sweep").joinpath("rates.yaml").read_text(encoding="utf-8")
    return tuple(TypeAdapter(list[Rate]).validate_python(yaml.safe_load(text)))


def rates_of(spec: ModelSpec) -> tuple[Rate, ...]:
    """The rates that apply to a model of a sweep; none where it runs in another way than was measured."""
    usual = spec.gpus == 1 and spec.device != "cpu" and spec.offload is None
    entry = MODELS.get(spec.model)
    dtype = entry.dtype if entry else None
    return tuple(r for r in known_rates() if r.model == spec.model and usual and spec.dtype in (None, dtype))


def forecast_error(
    model: str, device: str, per_second: float, actors: int = 1, rate: str = "answers_per_second"
) -> float | None:
    """Forecast seconds over measured seconds, minus one; positive: the run was faster than forecast.

    Args:
        model: a registered one. device: each actor's, one of it.
        per_second: measured, of all actors together.
        rate: the attribute of `Rate` that forecasts it.

    Returns:
        None where no such rate was measured for this model on this device.
    """
    known = next((known for known in known_rates() if (known.model, known.device) == (model, device)), None)
    forecast: float | None = getattr(known, rate, None)
    return None if forecast is None else per_second / (forecast * actors) - 1

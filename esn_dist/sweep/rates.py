"""Measured speeds that are shipped with the package, each with its date and how it was measured (`rates.yaml`)."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Rate(BaseModel):
    """Answers per second of one registered model, on one device of that name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    device: str
    answers_per_second: float = Field(gt=0)
    date: date
    how: str


@cache
def known_rates() -> tuple[Rate, ...]:
    """Every rate that was measured; none stands for a model or a device that is missing."""
    text = files("esn_dist.sweep").joinpath("rates.yaml").read_text(encoding="utf-8")
    return tuple(TypeAdapter(list[Rate]).validate_python(yaml.safe_load(text)))

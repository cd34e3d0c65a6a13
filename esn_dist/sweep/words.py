"""The field's names as enums: selectors, interventions, units' steps; and what each model is called."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


class Selector(StrEnum):
    """How neurons are ranked (paper §3.1)."""

    RND = "RND"
    LAP = "LAP"
    LAPE = "LAPE"
    MAD = "MAD"
    CONACT = "ConAct"


class InterventionType(StrEnum):
    """What happens to the gates of a mask; `deactivate` is steering with gain −1."""

    BASELINE = "baseline"
    DEACTIVATE = "deactivate"
    STEER = "steer"


class Step(StrEnum):
    """The sorts of unit, in the order in which a sweep needs them."""

    ENCODE = "encode"
    IDENTIFY = "identify"
    SELECT = "select"
    ANSWER = "answer"


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """Light facts of each model by name: adapter, layers, width, where its weights are (`models.yaml`)."""
    text = files("esn_dist.sweep").joinpath("models.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))

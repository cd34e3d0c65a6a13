"""The registered models: adapter, shape, dtype and source of each, without loading anything."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

ANY = "any"  # instead of a registered model: the checkpoint determines adapter, shape and dtype


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """Adapter, layers, width and source of each model by name (`models.yaml`)."""
    text = files("esn_dist.sweep").joinpath("models.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))

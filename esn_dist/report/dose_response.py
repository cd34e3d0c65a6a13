"""Conditions that differ in one thing alone: the axes of dose–response curves and of rows of heat maps.

Knows no drawing: datasets of `analysis.frames` in, positions of their conditions out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Floats
from esn_dist.analysis.frames import BOUNDS
from esn_dist.analysis.trials import Condition
from esn_dist.report.tables import ALL_PARTS, identification_title, intervention_title
from esn_dist.sweep.interventions import DEACTIVATE, STEER

GAINS = (DEACTIVATE, STEER)
AXES = ("fraction", "alpha", "identification_size")


class Axis(NamedTuple):
    """Conditions of one model on one corpus along `name`.

    Attributes:
        fixed: the coordinates that all of them share.
        values, positions: sorted by value; positions on the dimension `condition`.
    """

    name: str
    fixed: dict[str, Any]
    values: tuple[float, ...]
    positions: tuple[int, ...]

    @property
    def title(self) -> str:
        """What is fixed, e.g. `gain, ConAct, r = 10 %, masks from studio`."""
        return describe(self.fixed)


def axes(frame: xr.Dataset) -> Iterator[Axis]:
    """Every axis along which conditions with two or more values lie; deactivation is the gain −1."""
    for name in AXES:
        groups: dict[tuple[tuple[str, Any], ...], dict[float, int]] = {}
        for position, condition in enumerate(conditions(frame)):
            value = condition[name]
            if name == "alpha" and condition["intervention"] in GAINS:
                condition = {**condition, "intervention": "gain"}
            fixed = {key: kept for key, kept in condition.items() if key != name}
            if name != "identification_size" or value > 0:
                groups.setdefault(tuple(fixed.items()), {})[value] = position
        for key, found in groups.items():
            if len(found) > 1:
                values = tuple(sorted(found))
                yield Axis(name, dict(key), values, tuple(found[value] for value in values))


def curve(frame: xr.Dataset, axis: Axis, readout: str) -> tuple[list[float], Floats]:
    """Values along the axis and bounds[value, bound] of a readout; at gain 0 nothing changes, by definition."""
    bounds = frame[readout].isel(condition=list(axis.positions)).sel(bound=list(BOUNDS)).values
    if axis.name != "alpha":
        return list(axis.values), bounds
    at = int(np.searchsorted(axis.values, 0.0))
    origin = np.zeros(len(BOUNDS)) if np.isfinite(bounds).any() else np.full(len(BOUNDS), np.nan)
    return [*axis.values[:at], 0.0, *axis.values[at:]], np.insert(bounds, at, origin, axis=0)


def conditions(frame: xr.Dataset) -> list[dict[str, Any]]:
    """The coordinates of every condition, as plain values."""
    names = [field.name for field in fields(Condition)]
    columns = [frame[name].values for name in names]
    return [
        {n: column[at].item() for n, column in zip(names, columns, strict=True)}
        for at in range(frame.sizes["condition"])
    ]


def describe(fixed: dict[str, Any]) -> str:
    """What some coordinates of a condition say, in words; those that are missing say nothing."""
    intervention = fixed["intervention"]
    title = intervention_title(intervention, fixed["alpha"], fixed["tau"]) if "alpha" in fixed else _verb(intervention)
    words = [title, *([fixed["selector"]] if "selector" in fixed else [])]
    if "fraction" in fixed:
        words.append(f"r = {100 * fixed['fraction']:g} %")
    if fixed.get("source_corpus"):
        words.append(f"masks from {fixed['source_corpus']}")
    return ", ".join(words) + identification_title(fixed.get("identification_size", 0), fixed.get("parts", ALL_PARTS))


def _verb(intervention: str) -> str:
    return intervention_title(intervention, 0.0).partition(",")[0]

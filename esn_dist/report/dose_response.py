"""Conditions that differ in one attribute alone: the axes of dose–response curves and of rows of heat maps.

Knows no drawing: datasets of `analysis.effects_dataset` in, positions of their conditions out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Floats
from esn_dist.analysis.effects_dataset import BOUNDS
from esn_dist.analysis.flat_rows import CONDITION_COLUMNS, condition_from
from esn_dist.analysis.trials import Condition
from esn_dist.report.titles import ANY_GAIN, condition_title
from esn_dist.sweep.interventions import DEACTIVATE, STEER

GAINS: Final = (DEACTIVATE, STEER)  # one intervention along the axis of gains
ABSENT: Final[dict[str, Any]] = {"fraction": 0.0, "alpha": 0.0, "identification_size": -1}
AXES: Final = tuple(ABSENT)


class Axis(NamedTuple):
    """Conditions of one model on one corpus along `name`.

    Attributes:
        shared: what all of them share; its attribute `name` has no meaning.
        values, positions: sorted by value; positions on the dimension `condition`.
    """

    name: str
    shared: Condition
    values: tuple[float, ...]
    positions: tuple[int, ...]

    @property
    def title(self) -> str:
        """What is shared, e.g. `gain, ConAct, r = 10 %, masks from studio`."""
        return condition_title(self.shared, omit=(self.name,))


def axes(frame: xr.Dataset) -> Iterator[Axis]:
    """Every axis along which conditions have two or more values; deactivation is the gain −1."""
    for name in AXES:
        positions: dict[Condition, dict[float, int]] = {}
        for position, condition in enumerate(frame_conditions(frame)):
            value = getattr(condition, name)
            if name == "alpha" and condition.intervention in GAINS:
                condition = replace(condition, intervention=ANY_GAIN)
            if name != "identification_size" or value > 0:
                shared = replace(condition, **{name: ABSENT[name]})
                positions.setdefault(shared, {})[value] = position
        for shared, by_value in positions.items():
            if len(by_value) > 1:
                values = tuple(sorted(by_value))
                yield Axis(name, shared, values, tuple(by_value[value] for value in values))


def curve(frame: xr.Dataset, axis: Axis, readout: str) -> tuple[list[float], Floats]:
    """Values along the axis and bounds[value, bound] of a readout; at gain 0 nothing changes, by definition."""
    bounds = frame[readout].isel(condition=list(axis.positions)).sel(bound=list(BOUNDS)).values
    if axis.name != "alpha":
        return list(axis.values), bounds
    zero = int(np.searchsorted(axis.values, 0.0))
    origin = np.zeros(len(BOUNDS)) if np.isfinite(bounds).any() else np.full(len(BOUNDS), np.nan)
    return [*axis.values[:zero], 0.0, *axis.values[zero:]], np.insert(bounds, zero, origin, axis=0)


def frame_conditions(frame: xr.Dataset) -> list[Condition]:
    """The condition at every position of the dimension `condition`."""
    columns = {name: frame[name].values for name in CONDITION_COLUMNS}
    size = frame.sizes["condition"]
    return [condition_from({name: column[cell].item() for name, column in columns.items()}) for cell in range(size)]

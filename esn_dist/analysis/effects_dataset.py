"""Effects as an xarray dataset with named dimensions: the heat maps, and self, cross and gap with their intervals.

The same numbers as the rows of `summary`, in the shape for computing on. Knows no stores.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import UNDEFINED, Estimate, Floats, estimate
from esn_dist.analysis.flat_rows import CONDITION_COLUMNS, flat_condition
from esn_dist.analysis.measured_effects import MeasuredEffects
from esn_dist.analysis.trials import Group

NO_SOURCE = "none"
BOUNDS = ("point", "low", "high")


def effects_dataset(measured: MeasuredEffects) -> xr.Dataset:
    """Effects of every condition of one model on one corpus.

    Returns:
        change[condition, source, evaluation]: change of accuracy in percentage points, and margin[...]: of the option
        log-probability margin in nats; `source` holds the source emotions and "none" (the mean over RND's seeds).
        self_effect, cross_effect, gap [condition, bound]: points with percentile intervals. NaN where undefined.
        The attributes of `Condition` (selector, intervention, alpha …) are coordinates on `condition`.
    """
    trials, conditions = measured.trials, measured.conditions
    groups = [effects.group for effects in conditions]
    sources = [*dict.fromkeys(name for group in groups for name in group.sources if name), NO_SOURCE]
    changes = [_by_source(effects.group, effects.changes, sources) for effects in conditions]
    margins = [_by_source(effects.group, effects.margin_changes, sources) for effects in conditions]
    shape = (len(conditions), len(sources), len(trials.emotions))
    matrix, bounds = ("condition", "source", "evaluation"), ("condition", "bound")
    return xr.Dataset(
        {
            "change": (matrix, np.reshape(changes, shape), {"units": "percentage points"}),
            "margin": (matrix, np.reshape(margins, shape), {"units": "nats"}),
            "self_effect": (bounds, _bounds([effects.accuracy.within for effects in conditions])),
            "cross_effect": (bounds, _bounds([effects.accuracy.across for effects in conditions])),
            "gap": (bounds, _bounds([effects.accuracy.gap for effects in conditions])),
        },
        coords={
            **_coordinates(groups),
            "source": sources,
            "evaluation": list(trials.emotions),
            "bound": list(BOUNDS),
        },
        attrs={"model": trials.model, "corpus": trials.corpus},
    )


def estimate_of(bounds: Floats) -> Estimate:
    """The estimate of bounds[bound] = (point, low, high); NaN is undefined."""
    point, low, high = (float(bound) if np.isfinite(bound) else None for bound in bounds)
    return UNDEFINED if point is None else Estimate(point, low, high)


def _by_source(group: Group, changes: Floats, sources: list[str]) -> Floats:
    """matrix[source, label] of changes[cell, label]; the mean over seeds where a source has several masks."""
    matrix = np.full((len(sources), changes.shape[1]), np.nan)
    for row, source in enumerate(sources):
        cells = [cell for cell, name in enumerate(group.sources) if (name or NO_SOURCE) == source]
        if cells:
            matrix[row] = changes[cells].mean(axis=0)
    return matrix


def _bounds(statistics: list[Floats]) -> Floats:
    """bounds[condition, bound] of statistic[1 + draw] of each condition."""
    return np.array([[np.nan if v is None else v for v in estimate(s)] for s in statistics]).reshape(-1, len(BOUNDS))


def _coordinates(groups: list[Group]) -> dict[str, tuple[str, list[object]]]:
    rows = [flat_condition(group.condition) for group in groups]
    return {name: ("condition", [row[name] for row in rows]) for name in CONDITION_COLUMNS}

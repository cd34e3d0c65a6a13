"""Do two emotions' neurons add up? The change under both masks together, minus the changes under each alone.

Negative under co-deactivation: together they hurt more than their sum; 0: they act independently. Knows no intervals
beyond the draws it is given.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Resample
from esn_dist.analysis.effects import accuracy_changes
from esn_dist.analysis.trials import Group, Trials
from esn_dist.sweep.keys import AND
from esn_dist.sweep.words import InterventionType

ALONE = {
    InterventionType.CO_DEACTIVATE: InterventionType.DEACTIVATE,
    InterventionType.CO_STEER: InterventionType.STEER,
}


def interactions(trials: Trials, pairs: Group, sample: Resample) -> xr.DataArray:
    """Δ(a and b) − Δ(a) − Δ(b), in percentage points: interaction[first, second, evaluation, 1 + draw].

    Symmetric in `first` and `second`; NaN on their diagonal and where a pair was not run.

    Args:
        pairs: a group of type co-deactivate or co-steer whose cells have source emotions.
        sample: the same for all three changes, so that the differences are paired.

    Raises:
        ValueError: the cells of single emotions, with the same gain and masks, are not there.
    """
    single = _alone(trials, pairs)
    alone = dict(zip(single.sources, accuracy_changes(trials, single, sample), strict=True))
    together = accuracy_changes(trials, pairs, sample)
    emotions = [e for e in single.sources if any(e in source.split(AND) for source in pairs.sources)]
    found = np.full((len(emotions), len(emotions), *together.shape[1:]), np.nan)
    for source, change in zip(pairs.sources, together, strict=True):
        first, second = source.split(AND)
        a, b = emotions.index(first), emotions.index(second)
        found[a, b] = found[b, a] = change - alone[first] - alone[second]
    coords = {"first": emotions, "second": emotions, "evaluation": list(trials.emotions)}
    dims = ("first", "second", "evaluation", "draw")
    return xr.DataArray(found, dims=dims, coords=coords, attrs={"units": "percentage points"})


def _alone(trials: Trials, pairs: Group) -> Group:
    wanted = replace(pairs.condition, intervention=ALONE[InterventionType(pairs.condition.intervention)])
    missing = {emotion for source in pairs.sources for emotion in source.split(AND)}
    for group in trials.groups:
        if group.condition == wanted and missing <= set(group.sources):
            return group
    raise ValueError(f"the cells of single emotions that {pairs.condition} is measured against are not there")

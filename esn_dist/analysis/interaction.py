"""Do two emotions' neurons add up? The change under both masks together, minus the changes under each alone.

Negative under co-deactivation: together they reduce accuracy more than their sum; 0: they act independently. Draws are
those of the given resample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Resample, estimate
from esn_dist.analysis.effects import accuracy_changes
from esn_dist.analysis.effects_dataset import BOUNDS
from esn_dist.analysis.trials import Group, Trials, emotions_of
from esn_dist.sweep.interventions import INTERVENTIONS


class NoSingleCells(ValueError):
    """Pairs ran and the single emotions that they are measured against did not."""


def interactions(trials: Trials, pairs: Group, sample: Resample) -> xr.DataArray:
    """Δ(a and b) − Δ(a) − Δ(b), in percentage points: interaction[first, second, evaluation, 1 + draw].

    Symmetric in `first` and `second`; NaN on their diagonal and where a pair was not run.

    Args:
        pairs: a group of type co-deactivate or co-steer whose cells have source emotions.
        sample: the same for all three changes, so that the differences are paired.

    Raises:
        NoSingleCells: the cells of single emotions, with the same gain and masks, do not exist.
    """
    single = single_group(trials, pairs)
    if single is None:
        raise NoSingleCells(f"the cells of single emotions that {pairs.condition} is measured against do not exist")
    single_changes = dict(zip(single.sources, accuracy_changes(trials, single, sample), strict=True))
    pair_changes = accuracy_changes(trials, pairs, sample)
    emotions = [e for e in single.sources if e in pairs.source_emotions]
    interaction = np.full((len(emotions), len(emotions), *pair_changes.shape[1:]), np.nan)
    for source, change in zip(pairs.sources, pair_changes, strict=True):
        first, second = emotions_of(source)
        a, b = emotions.index(first), emotions.index(second)
        interaction[a, b] = interaction[b, a] = change - single_changes[first] - single_changes[second]
    coords = {"first": emotions, "second": emotions, "evaluation": list(trials.emotions)}
    dims = ("first", "second", "evaluation", "draw")
    return xr.DataArray(interaction, dims=dims, coords=coords, attrs={"units": "percentage points"})


def interaction_matrix(draws: xr.DataArray) -> xr.Dataset:
    """The emotion × emotion matrix of `interactions`, with 95 % intervals over its draws.

    Returns:
        pair_emotions[first, second, bound]: mean over the pair's two emotions; other_emotions[...]: over all other
        emotions of the corpus; NaN where the corpus has none.
    """
    evaluation = [str(name) for name in draws["evaluation"].values]
    shape = (draws.sizes["first"], draws.sizes["second"], len(BOUNDS))
    pair_emotions, other_emotions = np.full(shape, np.nan), np.full(shape, np.nan)
    for (a, b), pair in _pairs(draws):
        in_pair = np.isin(evaluation, pair)
        for matrix, of_pair in ((pair_emotions, in_pair), (other_emotions, ~in_pair)):
            if of_pair.any():
                bounds = estimate(draws.values[a, b, of_pair].mean(axis=0))
                matrix[a, b] = [np.nan if bound is None else bound for bound in bounds]
    dims = ("first", "second", "bound")
    coords = {"first": draws["first"].values, "second": draws["second"].values, "bound": list(BOUNDS)}
    matrices = {"pair_emotions": (dims, pair_emotions), "other_emotions": (dims, other_emotions)}
    return xr.Dataset(matrices, coords=coords, attrs=draws.attrs)


def _pairs(draws: xr.DataArray) -> Iterator[tuple[tuple[int, int], tuple[str, str]]]:
    for a, first in enumerate(draws["first"].values):
        for b, second in enumerate(draws["second"].values):
            yield (a, b), (str(first), str(second))


def pair_groups(trials: Trials) -> Iterator[Group]:
    """The groups whose cells act on the masks of two emotions."""
    for group in trials.groups:
        entry = INTERVENTIONS.get(group.condition.intervention)
        if entry is not None and entry.single_type and group.has_sources:
            yield group


def single_group(trials: Trials, pairs: Group) -> Group | None:
    """The group of single emotions that `pairs` is measured against: same gain and masks, every emotion of a pair."""
    wanted = replace(pairs.condition, intervention=INTERVENTIONS[pairs.condition.intervention].single_type)
    groups = (group for group in trials.groups if group.condition == wanted)
    return next((group for group in groups if pairs.source_emotions <= set(group.sources)), None)

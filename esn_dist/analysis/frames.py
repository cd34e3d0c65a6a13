"""Effects as an xarray dataset with named dimensions: the heat maps, and self, cross and gap with their intervals.

The same numbers as `summary.summarise`, in the shape for computing on. Knows no stores.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import DRAWS, Floats, estimate, resample
from esn_dist.analysis.effects import accuracy_changes, contrast
from esn_dist.analysis.margin import margin_changes, margins
from esn_dist.analysis.trials import Condition, Group, Trials, read_trials

NO_SOURCE = "none"
BOUNDS = ("point", "low", "high")


def effects(
    answers: xr.Dataset,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    by_speaker: bool = False,
    invalid_is_wrong: bool = True,
) -> xr.Dataset:
    """Effects of every condition of one model on one corpus.

    Args:
        answers: the dataset "answers".
        draws, seed, by_speaker, invalid_is_wrong: as in `summary.summarise`.

    Returns:
        change[condition, source, evaluation]: change of accuracy in percentage points, and margin[...]: of the option
        log-probability margin in nats; `source` holds the source emotions and "none" (the mean over RND's seeds).
        self_effect, cross_effect, gap [condition, bound]: points with percentile intervals. NaN where undefined.
        The attributes of `Condition` (selector, intervention, alpha …) are coordinates on `condition`.
    """
    trials = read_trials(answers, invalid_is_wrong=invalid_is_wrong)
    clusters = trials.speaker if by_speaker else None
    sample = resample(trials.label, len(trials.emotions), seed, trials.corpus, draws=draws, clusters=clusters)
    margin = margins(trials)
    sources = [*dict.fromkeys(name for group in trials.groups for name in group.sources if name), NO_SOURCE]
    changes = [accuracy_changes(trials, group, sample) for group in trials.groups]
    readouts = [margin_changes(trials, group, sample, margin) for group in trials.groups]
    contrasts = [contrast(change, group, trials.emotions) for change, group in zip(changes, trials.groups, strict=True)]
    matrix, bounds = ("condition", "source", "evaluation"), ("condition", "bound")
    return xr.Dataset(
        {
            "change": (matrix, _matrices(trials, changes, sources), {"units": "percentage points"}),
            "margin": (matrix, _matrices(trials, readouts, sources), {"units": "nats"}),
            "self_effect": (bounds, _bounds([found.within for found in contrasts])),
            "cross_effect": (bounds, _bounds([found.across for found in contrasts])),
            "gap": (bounds, _bounds([found.gap for found in contrasts])),
        },
        coords={
            **_conditions(trials.groups),
            "source": sources,
            "evaluation": list(trials.emotions),
            "bound": list(BOUNDS),
        },
        attrs={"model": trials.model, "corpus": trials.corpus},
    )


def _matrices(trials: Trials, changes: list[Floats], sources: list[str]) -> Floats:
    """Of the sample itself; the mean over seeds where a source has several masks."""
    matrices = np.full((len(changes), len(sources), len(trials.emotions)), np.nan)
    for matrix, change, group in zip(matrices, changes, trials.groups, strict=True):
        for row, source in enumerate(sources):
            own = [cell for cell, name in enumerate(group.sources) if (name or NO_SOURCE) == source]
            if own:
                matrix[row] = change[own, :, 0].mean(axis=0)
    return matrices


def _bounds(statistics: list[Floats]) -> Floats:
    return np.array([[np.nan if v is None else v for v in estimate(s)] for s in statistics]).reshape(-1, len(BOUNDS))


def _conditions(groups: tuple[Group, ...]) -> dict[str, tuple[str, list[object]]]:
    names = [field.name for field in fields(Condition)]
    return {name: ("condition", [getattr(group.condition, name) for group in groups]) for name in names}

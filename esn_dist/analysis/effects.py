"""Accuracy changes against the baseline in points: the matrix of source × evaluation emotion, self, cross, gap.

Only pairs count: an utterance that is unreadable, non-finite or not written in a cell or in the baseline is left out of
both. An answer that cannot be parsed is wrong. Draws are those of the given resample; knows no intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from esn_dist.analysis.bootstrap import Floats, Resample, resample
from esn_dist.analysis.trials import Group, Trials, emotions_of

POINTS = 100.0


@dataclass(frozen=True, slots=True)
class Contrast:
    """Changes by whether source and evaluation emotion are the same, each [1 + draw] (row 0: the sample itself).

    Without source emotions (RND), `within` is the mean over emotions and cells, the others are NaN.
    """

    within: Floats
    across: Floats

    @property
    def gap(self) -> Floats:
        """Self minus cross."""
        return self.within - self.across


def accuracy(trials: Trials, cell: int, sample: Resample) -> Floats:
    """Accuracy in percent of one cell: accuracy[label, 1 + draw]."""
    by_label: Floats = POINTS * sample.means(trials.correct[[cell]], trials.usable[[cell]])[0]
    return by_label


def accuracy_changes(trials: Trials, group: Group, sample: Resample) -> Floats:
    """Δ accuracy in percentage points: changes[cell of the group, label, 1 + draw]."""
    return POINTS * sample.means(against_baseline(trials, group, trials.correct), paired(trials, group))


def point_gap(trials: Trials, group: Group) -> float:
    """The self–cross gap of the sample itself in percentage points; NaN where it is undefined."""
    unresampled = resample(trials.label, len(trials.emotions), draws=0)
    return float(contrast(accuracy_changes(trials, group, unresampled), group, trials.emotions).gap[0])


def contrast(changes: Floats, group: Group, emotions: tuple[str, ...]) -> Contrast:
    """Self: mean over e of Δ(e, e). Cross: mean over e ≠ e' of Δ(e, e').

    Where masks come from a corpus with other emotions, both are over the shared ones. For joined masks "a+b" (the co-
    types), Δ(a+b, a) and Δ(a+b, b) are self, and the other emotions cross.

    Args:
        changes: changes[cell of the group, label, 1 + draw].
        group: the cells' source emotions.
        emotions: the labels of the evaluation corpus.
    """
    if not group.has_sources:
        return Contrast(changes.mean(axis=(0, 1)), np.full(changes.shape[2], np.nan))
    by_cell = ((cell, emotions_of(source)) for cell, source in enumerate(group.sources))
    sources = [(cell, [emotions.index(e) for e in names]) for cell, names in by_cell if set(names) <= set(emotions)]
    shared = sorted({label for _, labels in sources for label in labels})
    same = [(cell, label) for cell, labels in sources for label in labels]
    other = [(cell, label) for cell, labels in sources for label in shared if label not in labels]
    return Contrast(_mean(changes, same), _mean(changes, other))


def paired(trials: Trials, group: Group) -> npt.NDArray[np.bool_]:
    """paired[cell of the group, utterance]: usable both in the cell and in the baseline."""
    usable = trials.usable
    both: npt.NDArray[np.bool_] = usable[list(group.cells)] & usable[trials.baseline]
    return both


def against_baseline(trials: Trials, group: Group, values: npt.NDArray[np.generic]) -> Floats:
    """values[cell, utterance] of the group's cells minus the baseline's."""
    numbers = values.astype(np.float64)
    difference: Floats = numbers[list(group.cells)] - numbers[trials.baseline]
    return difference


def _mean(changes: Floats, entries: list[tuple[int, int]]) -> Floats:
    if not entries:
        return np.full(changes.shape[2], np.nan)
    mean: Floats = np.mean([changes[cell, label] for cell, label in entries], axis=0)
    return mean

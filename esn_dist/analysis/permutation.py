"""Permutation tests of the self–cross gap, under the null hypothesis that masks and emotions are exchangeable.

Two questions, two tests. `exchange_test` (which the protocol requires) exchanges the answers of each item among
the source emotions' cells: do *these* masks have a gap, beyond what the drawn utterances explain? `assignment_test`
exchanges the masks as wholes: would another assignment of the same masks to the emotions give as large a gap? The
second has few assignments (120 of five emotions), hence no p-value below 1/120, but it alone generalises over masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import lcm

import numpy as np
import numpy.typing as npt

from esn_dist.analysis.bootstrap import Floats, resample
from esn_dist.analysis.effects import POINTS, accuracy_changes, contrast
from esn_dist.analysis.trials import Group, Trials
from esn_dist.seeds import SeedKey, generator

Counts = npt.NDArray[np.int64]
MAX_EXACT_VALUES = 1_000_000  # values of the exact distribution; beyond, it is drawn
EXCHANGE_DRAWS = 100_000


@dataclass(frozen=True, slots=True)
class GapTest:
    """A two-sided test of one gap.

    Attributes:
        gap: in percentage points, over the items that every source emotion's cell answered.
        p: None where nothing can be exchanged.
        exact: whether every exchange was counted; else `EXCHANGE_DRAWS` of them were drawn.
        items: utterances that entered.
    """

    gap: float | None
    p: float | None
    exact: bool
    items: int


@dataclass(frozen=True, slots=True)
class _Items:
    """Items of one label.

    Attributes:
        right: right[item], in how many cells the item is right.
        right_own_cell: number of items that are right in the label's own cell.
        cells: number of cells.
    """

    right: Counts
    right_own_cell: int
    cells: int

    @property
    def by_right(self) -> Counts:
        """How many items were right in k cells, k = 0..cells."""
        return np.bincount(self.right, minlength=self.cells + 1)


def exchange_test(trials: Trials, group: Group, *seed: SeedKey) -> GapTest:
    """Under the null hypothesis that masks and emotions are exchangeable, within each item.

    An item that is right in k of S cells is then right in its own emotion's cell with probability k/S.

    The gap is then a weighted sum of independent binomials around 0, and its distribution is convolved exactly.
    The baseline cancels, because it is part of both self and cross.
    """
    labels = _labels(trials, group)
    items = sum(len(label.right) for label in labels)
    if len(labels) < 2 or any(not len(label.right) for label in labels):
        return GapTest(None, None, True, items)
    sizes = [len(label.right) for label in labels]
    common = lcm(*sizes)
    exact = common * len(labels) <= MAX_EXACT_VALUES
    p = _convolved(labels, common) if exact else _drawn(labels, generator("exchange test", *seed))
    # own − mean of the others = (S·own − right) / (S − 1), averaged over the items and then over the labels.
    excess = [(label.cells * label.right_own_cell - label.right.sum()) / len(label.right) for label in labels]
    return GapTest(POINTS * float(np.mean(excess)) / (len(labels) - 1), p, exact, items)


def assignment_test(trials: Trials, group: Group) -> GapTest:
    """All assignments of the condition's masks to the emotions; p is the share with a gap at least as far from 0."""
    unresampled = resample(trials.label, len(trials.emotions), draws=0)
    changes = accuracy_changes(trials, group, unresampled)[:, :, 0]
    shared = [(cell, trials.emotions.index(name)) for cell, name in enumerate(group.sources) if name in trials.emotions]
    if len(shared) < 2:
        return GapTest(None, None, True, 0)
    cells, labels = (list(axis) for axis in zip(*shared, strict=True))
    matrix = changes[np.ix_(cells, labels)]
    if not np.isfinite(matrix).all():
        return GapTest(None, None, True, 0)
    gap = float(contrast(changes[:, :, None], group, trials.emotions).gap[0])
    return GapTest(gap, _assigned(matrix), True, int(np.isin(trials.label, labels).sum()))


def _labels(trials: Trials, group: Group) -> list[_Items]:
    """Per shared emotion: its items that all shared source emotions' cells answered."""
    shared = {name: cell for name, cell in zip(group.sources, group.cells, strict=True) if name in trials.emotions}
    cells = list(shared.values())
    if len(cells) < 2:
        return []
    complete = trials.usable[cells].all(axis=0)
    items = []
    for name, cell in shared.items():
        of_label = complete & (trials.label == trials.emotions.index(name))
        correct = trials.correct[:, of_label]
        items.append(_Items(correct[cells].sum(axis=0, dtype=np.int64), int(correct[cell].sum()), len(cells)))
    return items


def _convolved(labels: Sequence[_Items], common: int) -> float:
    """Exact two-sided p. Only integers are compared: U = Σ_y (common / n_y)·own_y, centred as S·U − Σ right."""
    steps = [common // len(label.right) for label in labels]
    total = np.ones(1)
    for label, step in zip(labels, steps, strict=True):
        total = _convolve_step(total, _own_distribution(label), step)
    centre = sum(step * int(label.right.sum()) for label, step in zip(labels, steps, strict=True))
    observed = sum(step * label.right_own_cell for label, step in zip(labels, steps, strict=True))
    deviation = np.abs(labels[0].cells * np.arange(len(total)) - centre)
    return min(1.0, float(total[deviation >= abs(labels[0].cells * observed - centre)].sum()))


def _own_distribution(label: _Items) -> Floats:
    """Probability that 0, 1, ... items are right in their own cell under exchange."""
    from scipy.stats import binom

    distribution = np.ones(1)
    for right, count in enumerate(label.by_right):
        if count:
            distribution = np.convolve(distribution, binom.pmf(np.arange(count + 1), count, right / label.cells))
    return distribution


def _convolve_step(total: Floats, distribution: Floats, step: int) -> Floats:
    """Distribution of a sum: `total` plus `step` times what `distribution` counts."""
    summed = np.zeros(len(total) + step * (len(distribution) - 1))
    for count, probability in enumerate(distribution):
        if probability:
            summed[step * count : step * count + len(total)] += probability * total
    return summed


def _drawn(labels: Sequence[_Items], random: np.random.Generator) -> float:
    """The same by `EXCHANGE_DRAWS` exchanges, where sizes differ so that the exact distribution has too many values."""
    drawn, observed = np.zeros(EXCHANGE_DRAWS), 0.0
    for label in labels:
        totals = sum(
            random.binomial(int(count), right / label.cells, EXCHANGE_DRAWS)
            for right, count in enumerate(label.by_right)
        )
        drawn += (label.cells * totals - label.right.sum()) / len(label.right)
        observed += (label.cells * label.right_own_cell - label.right.sum()) / len(label.right)
    return float((1 + (np.abs(drawn) >= abs(observed) - 1e-9).sum()) / (1 + EXCHANGE_DRAWS))


def _assigned(matrix: Floats) -> float:
    """Share of the permutations of rows whose trace is at least as far from the mean of all traces."""
    size = len(matrix)
    orders = permutations(range(size))
    traces = np.array([sum(matrix[row, column] for column, row in enumerate(order)) for order in orders])
    deviation = np.abs(traces - matrix.sum() / size)
    return float(np.mean(deviation >= deviation[0] - 1e-9))

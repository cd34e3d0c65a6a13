"""Percentile bootstrap over evaluation utterances: one resample for all cells, so that every difference is paired.

Values per cell and utterance go in. Means per cell and label come out, for the sample itself and for every draw. A
statistic of such means is computed in the same way for its point and for its interval. Knows no effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from esn_dist.seeds import SeedKey, generator

Floats = npt.NDArray[np.float64]
BOOTSTRAP_DRAWS = 5000
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A point with its percentile interval; None where it is undefined (never NaN)."""

    point: float | None
    low: float | None
    high: float | None


UNDEFINED = Estimate(None, None, None)


@dataclass(frozen=True, slots=True)
class Resample:
    """How often each utterance counts: once in row 0 (the sample itself), multinomially in every further row.

    Attributes:
        rows: per label, its utterances.
        weights: per label, weights[1 + draw, utterance of the label].
    """

    rows: tuple[npt.NDArray[np.int64], ...]
    weights: tuple[Floats, ...]

    def means(self, values: npt.ArrayLike, usable: npt.NDArray[np.bool_]) -> Floats:
        """Mean of values[cell, utterance] over the usable utterances of each label.

        Returns:
            means[cell, label, 1 + draw]; NaN where no usable utterance is left.
        """
        filled = np.where(usable, np.asarray(values, np.float64), 0.0)
        by_label = [
            _ratio(filled[:, rows] @ weights.T, usable[:, rows].astype(np.float64) @ weights.T)
            for rows, weights in zip(self.rows, self.weights, strict=True)
        ]
        return np.stack(by_label, axis=1)


def resample(
    label: npt.NDArray[np.int64],
    labels: int,
    *seed: SeedKey,
    draws: int = BOOTSTRAP_DRAWS,
    clusters: npt.NDArray[np.str_] | None = None,
) -> Resample:
    """Draw utterances with replacement within each label, or clusters with all their utterances.

    Args:
        label: label[utterance] within 0..labels-1.
        labels: number of labels.
        seed: what the draws are hashed from.
        draws: resamples besides the sample itself.
        clusters: cluster[utterance], e.g. the speaker; then the labels' sizes vary between draws.
    """
    random = generator("bootstrap", *seed)
    rows = tuple(np.flatnonzero(label == code) for code in range(labels))
    if clusters is None:
        return Resample(rows, tuple(_counts(random, draws, len(of_label)) for of_label in rows))
    names, cluster = np.unique(clusters, return_inverse=True)
    counts = _counts(random, draws, len(names))
    return Resample(rows, tuple(counts[:, cluster[of_label]] for of_label in rows))


def estimate(statistic: Floats) -> Estimate:
    """Point and percentile interval of statistic[1 + draw].

    Draws in which the statistic is undefined (a cluster resample without any utterance of a label) are left out.
    """
    point, draws = float(statistic[0]), statistic[1:]
    if not np.isfinite(point):
        return UNDEFINED
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return Estimate(point, None, None)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(point, float(low), float(high))


def _counts(random: np.random.Generator, draws: int, size: int) -> Floats:
    """counts[1 + draw, item]: ones, then how often each of `size` items is among `size` draws with replacement."""
    if size == 0:
        return np.ones((1 + draws, 0))
    items = random.integers(size, size=(draws, size)) + size * np.arange(draws)[:, None]
    counts = np.bincount(items.ravel(), minlength=draws * size).reshape(draws, size)
    return np.concatenate([np.ones((1, size)), counts])


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

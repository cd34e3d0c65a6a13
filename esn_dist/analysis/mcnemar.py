"""Exact McNemar: whether a cell's answers are right more or less often than the same utterances' baseline answers.

Only pairs that both were answered count, and of those only the ones that flipped. Knows no families of tests.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from esn_dist.analysis.effects import POINTS
from esn_dist.analysis.trials import Trials


class Flips(NamedTuple):
    """Pairs of one cell and the baseline: right before and wrong now, wrong before and right now, and all pairs."""

    right_to_wrong: int
    wrong_to_right: int
    pairs: int

    @property
    def effect(self) -> float | None:
        """Change of accuracy over these pairs, in percentage points."""
        return POINTS * (self.wrong_to_right - self.right_to_wrong) / self.pairs if self.pairs else None

    @property
    def p(self) -> float | None:
        """Two-sided p-value: `right_to_wrong` of all flips under a fair coin; 1 without flips, None without pairs."""
        from scipy.stats import binomtest  # importing it takes half a second, which opening a store does not need

        if not self.pairs:
            return None
        flipped = self.right_to_wrong + self.wrong_to_right
        return float(binomtest(self.right_to_wrong, flipped, 0.5).pvalue) if flipped else 1.0


def flips(trials: Trials, cell: int, among: npt.NDArray[np.bool_] | None = None) -> Flips:
    """Flips of one cell against the baseline.

    Args:
        trials: the answers.
        cell: position on the cell axis.
        among: among[utterance], e.g. those of one emotion; default: all.
    """
    usable = trials.usable[cell] & trials.usable[trials.baseline]
    if among is not None:
        usable = usable & among
    now, before = trials.correct[cell][usable], trials.correct[trials.baseline][usable]
    return Flips(int((before & ~now).sum()), int((now & ~before).sum()), int(usable.sum()))

"""Readouts beside accuracy: the option log-probability margin, and where steered answers move to.

A margin sees effects far below one flipped answer. Knows no conditions beyond the group of cells it is given.
"""

from __future__ import annotations

import numpy as np

from esn_dist.analysis.bootstrap import Floats, Resample
from esn_dist.analysis.effects import POINTS, against_baseline, paired
from esn_dist.analysis.trials import Group, Trials, emotions_of
from esn_dist.terms import Outcome


def margins(trials: Trials) -> Floats:
    """margin[cell, utterance] = log p(true label) - max over the other options of log p, in nats; NaN if undefined."""
    logprob = trials.logprob.astype(np.float64)
    true = np.arange(len(trials.emotions)) == trials.label[:, None]
    own = np.where(true, logprob, -np.inf).max(axis=-1)
    best_other = np.where(true, -np.inf, logprob).max(axis=-1)
    usable = trials.usable & np.isfinite(own) & np.isfinite(best_other)
    margin: Floats = np.subtract(own, best_other, out=np.full(own.shape, np.nan), where=usable)
    return margin


def margin_changes(trials: Trials, group: Group, sample: Resample, margin: Floats) -> Floats:
    """Mean change of the margin against the baseline, in nats: changes[cell of the group, label, 1 + draw]."""
    change = against_baseline(trials, group, margin)
    return sample.means(change, np.isfinite(change))


def source_answer_changes(trials: Trials, group: Group, sample: Resample) -> Floats:
    """Change, in points, of how often the source emotion is answered: changes[cell of the group, label, 1 + draw].

    On the other emotions' utterances this shows whether the bias moves there; on its own it is the accuracy change.
    Of joined masks either of their emotions counts.
    """
    own = [np.array([e in emotions_of(source) for e in trials.emotions]) for source in group.sources]
    cells = list(group.cells)
    answered = trials.outcome == Outcome.ANSWERED
    now = answered[cells] & [is_own[trials.answer[cell]] for is_own, cell in zip(own, cells, strict=True)]
    before = answered[trials.baseline] & [is_own[trials.answer[trials.baseline]] for is_own in own]
    return POINTS * sample.means(now.astype(np.float64) - before, paired(trials, group))

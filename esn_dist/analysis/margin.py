"""Readouts besides accuracy: the option log-probability margin, and where steered answers move to.

A margin shows effects far below a single flipped answer. Knows no conditions but those of the given group of cells.
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
    of_true = np.where(true, logprob, -np.inf).max(axis=-1)
    best_other = np.where(true, -np.inf, logprob).max(axis=-1)
    usable = trials.usable & np.isfinite(of_true) & np.isfinite(best_other)
    margin: Floats = np.subtract(of_true, best_other, out=np.full(of_true.shape, np.nan), where=usable)
    return margin


def margin_changes(trials: Trials, group: Group, sample: Resample, margin: Floats) -> Floats:
    """Mean change of the margin against the baseline, in nats: changes[cell of the group, label, 1 + draw]."""
    change = against_baseline(trials, group, margin)
    return sample.means(change, np.isfinite(change))


def source_answer_changes(trials: Trials, group: Group, sample: Resample) -> Floats:
    """Change, in points, of how often the source emotion is answered: changes[cell of the group, label, 1 + draw].

    On the other emotions' utterances this shows whether the bias moves to them. On the source emotion's utterances it
    is the accuracy change. For joined masks, either of their emotions counts.
    """
    is_source = [np.array([e in emotions_of(source) for e in trials.emotions]) for source in group.sources]
    cells = list(group.cells)
    answered = trials.outcome == Outcome.ANSWERED
    now = answered[cells] & [of_cell[trials.answer[cell]] for of_cell, cell in zip(is_source, cells, strict=True)]
    before = answered[trials.baseline] & [of_cell[trials.answer[trials.baseline]] for of_cell in is_source]
    return POINTS * sample.means(now.astype(np.float64) - before, paired(trials, group))

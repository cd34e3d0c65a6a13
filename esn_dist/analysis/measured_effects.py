"""All effects of one model on one corpus from one bootstrap: what rows, datasets and tables of effects are made of.

Every statistic keeps its draws, so that means over corpora are taken draw by draw. Knows no stores and no tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import BOOTSTRAP_DRAWS, Floats, Resample, resample
from esn_dist.analysis.effects import Contrast, accuracy, accuracy_changes, contrast
from esn_dist.analysis.margin import margin_changes, margins, source_answer_changes
from esn_dist.analysis.trials import Group, Trials, read_trials


@dataclass(frozen=True, slots=True)
class EffectSettings:
    """How effects are computed.

    Attributes:
        draws: bootstrap resamples; the same ones for every cell of a corpus, and for every model on it.
        seed: seed of the resamples.
        by_speaker: resample speakers with all their utterances, instead of utterances within each emotion.
        invalid_is_wrong: count an answer that names no option as wrong; else leave its pairs out, as missing ones.
    """

    draws: int = BOOTSTRAP_DRAWS
    seed: int = 0
    by_speaker: bool = False
    invalid_is_wrong: bool = True


DEFAULT_SETTINGS = EffectSettings()


@dataclass(frozen=True, slots=True)
class ConditionEffects:
    """The effects of one condition.

    Attributes:
        group: the condition and its cells.
        changes: changes[cell of the group, label] of accuracy in percentage points, of the sample itself.
        margin_changes: the same of the option log-probability margin, in nats.
        accuracy: self- and cross-effect on accuracy, with their draws.
        margin: self- and cross-effect on the margin, with their draws.
        source_rate: source_rate[1 + draw], change in points of how often the source emotion is answered elsewhere.
        level: level[1 + draw], accuracy in percent; NaN where cells have source emotions.
    """

    group: Group
    changes: Floats
    margin_changes: Floats
    accuracy: Contrast
    margin: Contrast
    source_rate: Floats
    level: Floats


@dataclass(frozen=True, slots=True)
class MeasuredEffects:
    """All conditions of one model on one corpus.

    Attributes:
        trials: the answers.
        conditions: in the order of `trials.groups`.
        baseline: baseline[label, 1 + draw], accuracy in percent of the unintervened model.
    """

    trials: Trials
    conditions: tuple[ConditionEffects, ...]
    baseline: Floats


def measure(answers: xr.Dataset, settings: EffectSettings = DEFAULT_SETTINGS) -> MeasuredEffects:
    """Effects of every condition of the dataset "answers" of one model × evaluation corpus.

    Raises:
        ValueError: the dataset does not hold exactly one baseline cell, or holds two cells of one meaning.
    """
    trials = read_trials(answers, invalid_is_wrong=settings.invalid_is_wrong)
    sample = bootstrap_sample(trials, settings)
    margin_CU = margins(trials)
    conditions = tuple(_condition_effects(trials, group, sample, margin_CU) for group in trials.groups)
    return MeasuredEffects(trials, conditions, accuracy(trials, trials.baseline, sample))


def bootstrap_sample(trials: Trials, settings: EffectSettings) -> Resample:
    """The resamples of one corpus's utterances, the same for every model and cell."""
    clusters = trials.speaker if settings.by_speaker else None
    labels = len(trials.emotions)
    return resample(trials.label, labels, settings.seed, trials.corpus, draws=settings.draws, clusters=clusters)


def _condition_effects(trials: Trials, group: Group, sample: Resample, margin_CU: Floats) -> ConditionEffects:
    changes = accuracy_changes(trials, group, sample)
    of_margin = margin_changes(trials, group, sample, margin_CU)
    return ConditionEffects(
        group=group,
        changes=changes[:, :, 0].copy(),
        margin_changes=of_margin[:, :, 0].copy(),
        accuracy=contrast(changes, group, trials.emotions),
        margin=contrast(of_margin, group, trials.emotions),
        source_rate=contrast(source_answer_changes(trials, group, sample), group, trials.emotions).across,
        level=_level(trials, group, sample),
    )


def _level(trials: Trials, group: Group, sample: Resample) -> Floats:
    """Accuracy in percent, mean over the emotions and cells: level[1 + draw]."""
    if group.has_sources:
        return np.full(len(sample.weights[0]), np.nan)
    levels: Floats = np.mean([accuracy(trials, cell, sample).mean(axis=0) for cell in group.cells], axis=0)
    return levels

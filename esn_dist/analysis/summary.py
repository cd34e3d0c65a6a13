"""Every effect of a sweep as one row: per model × corpus × condition, and the macro mean over corpora.

Undefined values are None, never NaN and never 0. Knows no layout of tables; `flat_rows` has the columns of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from esn_dist.analysis.bootstrap import Estimate, Floats, estimate
from esn_dist.analysis.effects import paired
from esn_dist.analysis.measured_effects import ConditionEffects, MeasuredEffects
from esn_dist.analysis.trials import Condition, Trials
from esn_dist.sweep.interventions import INTERVENTIONS
from esn_dist.sweep.selectors import selector_order
from esn_dist.terms import Outcome

ALL = "all"  # in the place of a corpus: macro mean over corpora; in the place of an emotion: mean over emotions


@dataclass(frozen=True, slots=True)
class MissingAnswers:
    """How many answers do not exist, by what happened."""

    not_written: int = 0
    unreadable: int = 0
    non_finite: int = 0


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One condition on one corpus.

    Estimates have 95 % percentile intervals of the paired bootstrap over utterances. Effects are changes of accuracy in
    percentage points, margins are changes of the option log-probability margin in nats. For RND, self is the mean over
    emotions and seeds; cross and gap are undefined.

    Attributes:
        corpus: evaluation corpus; "all" = macro mean over corpora.
        condition: what the cells share. A macro mean names no source corpus and no identification size.
        sources: source emotions that entered self and cross.
        seeds_sd: standard deviation over RND's seeds of their mean change.
        source_rate: change, in points, of how often the source emotion is answered on the other emotions' utterances.
        accuracy: percent, mean over the emotions (and seeds), of what commits to no source emotion (paper Table 2).
        invalid_rate: share, within 0..1, of the model's answers that could not be parsed (they count as wrong).
        utterances: evaluation utterances of each cell.
        missing_pairs: pairs left out of every effect, because the cell or the baseline has no answer.
        missing: such answers in the cells of this row alone.
    """

    model: str
    corpus: str
    condition: Condition
    sources: tuple[str, ...]
    self_effect: Estimate
    cross_effect: Estimate
    gap: Estimate
    seeds_sd: float | None
    margin_self: Estimate
    margin_cross: Estimate
    source_rate: Estimate
    accuracy: Estimate
    invalid_rate: float | None
    utterances: int
    missing_pairs: int
    missing: MissingAnswers


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """Accuracy in percent of the unintervened model on one emotion's utterances ("all": mean over the emotions)."""

    model: str
    corpus: str
    emotion: str
    accuracy: Estimate
    invalid_rate: float | None
    utterances: int
    missing: MissingAnswers


def effect_rows(measured: Sequence[MeasuredEffects]) -> list[EffectRow]:
    """The effects of all places, sorted by model, corpus ("all" first), intervention and selector."""
    rows: list[EffectRow] = []
    for model in dict.fromkeys(place.trials.model for place in measured):
        of_model = [place for place in measured if place.trials.model == model]
        rows += sorted(_macro_rows(of_model), key=_order)
        for place in of_model:
            corpus = place.trials.corpus
            rows += sorted((_row(corpus, [(place, effects)]) for effects in place.conditions), key=_order)
    return rows


def baseline_rows(measured: Iterable[MeasuredEffects]) -> list[BaselineRow]:
    """Accuracy of the unintervened model: per model × corpus, the mean over emotions first, then each emotion."""
    rows: list[BaselineRow] = []
    for place in measured:
        trials = place.trials
        everything = np.full(len(trials.label), True)
        rows.append(_baseline_row(trials, ALL, place.baseline.mean(axis=0), everything))
        for code, emotion in enumerate(trials.emotions):
            rows.append(_baseline_row(trials, emotion, place.baseline[code], trials.label == code))
    return rows


_Member = tuple[MeasuredEffects, ConditionEffects]  # a condition on the corpus that it was measured on


def _macro_rows(places: Sequence[MeasuredEffects]) -> list[EffectRow]:
    """Masks of each corpus's own (and RND) averaged over the corpora that have them, where these are two or more.

    Corpora differ in how many utterances they can identify with: of several sizes a corpus's largest represents it.
    """
    same: dict[Condition, dict[str, _Member]] = {}
    for place in places:
        corpus = place.trials.corpus
        for effects in sorted(place.conditions, key=_identification_size):
            if effects.group.condition.source_corpus in ("", corpus):
                condition = replace(effects.group.condition, source_corpus="", identification_size=-1)
                same.setdefault(condition, {})[corpus] = place, effects
    return [_row(ALL, list(members.values())) for members in same.values() if len(members) > 1]


def _identification_size(effects: ConditionEffects) -> float:
    """The size for sorting; 0 means all utterances."""
    return effects.group.condition.identification_size or np.inf


def _row(corpus: str, members: Sequence[_Member]) -> EffectRow:
    """The mean over the members, draw by draw; counts are summed."""
    condition = members[0][1].group.condition
    if len(members) > 1:
        condition = replace(condition, source_corpus="", identification_size=-1)
    effects = [of_condition for _, of_condition in members]
    outcomes = [_outcomes(place.trials, of_condition) for place, of_condition in members]
    sources = [source for place, of_condition in members for source in _sources(place.trials, of_condition)]
    return EffectRow(
        model=members[0][0].trials.model,
        corpus=corpus,
        condition=condition,
        sources=tuple(dict.fromkeys(sources)),
        self_effect=_mean([effect.accuracy.within for effect in effects]),
        cross_effect=_mean([effect.accuracy.across for effect in effects]),
        gap=_mean([effect.accuracy.gap for effect in effects]),
        seeds_sd=_spread(effects),
        margin_self=_mean([effect.margin.within for effect in effects]),
        margin_cross=_mean([effect.margin.across for effect in effects]),
        source_rate=_mean([effect.source_rate for effect in effects]),
        accuracy=_mean([effect.level for effect in effects]),
        invalid_rate=_defined(float(np.mean([_invalid_rate(outcome) for outcome in outcomes]))),
        utterances=sum(len(place.trials.label) for place, _ in members),
        missing_pairs=sum(int((~paired(place.trials, effect.group)).sum()) for place, effect in members),
        missing=_missing(np.concatenate([outcome.ravel() for outcome in outcomes])),
    )


def _mean(statistics: Sequence[Floats]) -> Estimate:
    return estimate(np.mean(statistics, axis=0))


def _sources(trials: Trials, effects: ConditionEffects) -> Iterable[str]:
    return (emotion for emotion in trials.emotions if emotion in effects.group.source_emotions)


def _outcomes(trials: Trials, effects: ConditionEffects) -> npt.NDArray[np.uint8]:
    """outcome[cell of the condition, utterance]"""
    return trials.outcome[list(effects.group.cells)]


def _spread(effects: Sequence[ConditionEffects]) -> float | None:
    """Standard deviation over RND's seeds of the mean over corpora; needs the same two or more seeds in each."""
    seeds = effects[0].group.seeds
    if effects[0].group.has_sources or len(seeds) < 2 or any(effect.group.seeds != seeds for effect in effects):
        return None
    by_seed = np.mean([effect.changes.mean(axis=1) for effect in effects], axis=0)
    return _defined(float(by_seed.std(ddof=1)))


def _baseline_row(trials: Trials, emotion: str, by_draw: Floats, of_emotion: npt.NDArray[np.bool_]) -> BaselineRow:
    outcome = trials.outcome[trials.baseline, of_emotion]
    rate = _defined(_invalid_rate(outcome))
    size = int(of_emotion.sum())
    return BaselineRow(trials.model, trials.corpus, emotion, estimate(by_draw), rate, size, _missing(outcome))


def _missing(outcome: npt.NDArray[np.uint8]) -> MissingAnswers:
    codes = (Outcome.NOT_WRITTEN, Outcome.UNREADABLE, Outcome.NON_FINITE)
    return MissingAnswers(*(int((outcome == code).sum()) for code in codes))


def _invalid_rate(outcome: npt.NDArray[np.uint8]) -> float:
    invalid, answered = (int((outcome == code).sum()) for code in (Outcome.UNPARSED, Outcome.ANSWERED))
    return invalid / (invalid + answered) if invalid + answered else float("nan")


def _defined(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _order(row: EffectRow) -> tuple[object, ...]:
    condition = row.condition
    interventions = [*INTERVENTIONS, condition.intervention]
    return (
        condition.source_corpus not in ("", row.corpus),  # transfers after the corpus's own masks
        interventions.index(condition.intervention),
        condition.alpha,
        condition.fraction,
        selector_order(condition.selector),
        condition.source_corpus,
    )

"""Every effect of a sweep as one flat row: per model × corpus × condition, and the macro mean over corpora.

Undefined values are None, never NaN and never 0. Knows no layout of tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.analysis.bootstrap import DRAWS, Floats, Resample, estimate, resample
from esn_dist.analysis.effects import Contrast, accuracy, accuracy_changes, contrast, paired
from esn_dist.analysis.margin import margin_changes, margins, source_answer_changes
from esn_dist.analysis.trials import Condition, Group, Trials, read_trials
from esn_dist.sweep.enums import Selector
from esn_dist.sweep.interventions import INTERVENTIONS
from esn_dist.terms import Outcome

ALL = "all"


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One selector × intervention × corpus.

    Effects and their intervals (95 %, percentile, paired bootstrap over utterances) are accuracy changes in percentage
    points; margins are changes of the option log-probability margin in nats. For RND, self is the mean over emotions
    and seeds, and cross and gap are None.

    Attributes:
        corpus: evaluation corpus; "all" = macro mean over corpora.
        source_corpus: where the masks come from; "" for RND, and for the macro mean of each corpus's own.
        sources: source emotions that entered self and cross.
        seeds_sd: standard deviation over RND's seeds of their mean change.
        source_rate: change, in points, of how often the source emotion is answered on the other emotions' utterances.
        invalid_rate: share, within 0..1, of the model's answers that could not be parsed (they count as wrong).
        utterances: evaluation utterances of each cell.
        missing: pairs left out because the answer or its baseline is none (the next three, there or in the baseline).
        not_written, unreadable, non_finite: such outcomes in the cells of this row.
        tau, identification_size, parts: as in `Condition`; for the macro mean no one size holds.
        accuracy: in percent, mean over the emotions (and seeds), of what commits to no source emotion (paper Table 2).
    """

    model: str
    corpus: str
    selector: str
    intervention: str
    alpha: float
    fraction: float
    source_corpus: str
    sources: tuple[str, ...]
    self_effect: float | None
    self_low: float | None
    self_high: float | None
    cross_effect: float | None
    cross_low: float | None
    cross_high: float | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    seeds_sd: float | None
    margin_self: float | None
    margin_self_low: float | None
    margin_self_high: float | None
    margin_cross: float | None
    margin_cross_low: float | None
    margin_cross_high: float | None
    source_rate: float | None
    source_rate_low: float | None
    source_rate_high: float | None
    invalid_rate: float | None
    utterances: int
    missing: int
    not_written: int
    unreadable: int
    non_finite: int
    tau: float = 0.0
    identification_size: int = -1
    parts: str = ""
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """Accuracy in percent of the unintervened model on one emotion's utterances ("all": mean over the emotions)."""

    model: str
    corpus: str
    emotion: str
    accuracy: float | None
    low: float | None
    high: float | None
    invalid_rate: float | None
    utterances: int
    not_written: int
    unreadable: int
    non_finite: int


@dataclass(frozen=True, slots=True)
class _Effect:
    """What one group of cells gives, before points and intervals are taken; averages over corpora draw by draw."""

    condition: Condition
    sources: tuple[str, ...]
    accuracy: Contrast
    level: Floats  # [1 + draw] accuracy itself; NaN where cells have source emotions
    seeds: tuple[int, ...]
    by_seed: Floats  # [seed] change of the sample itself; empty unless RND
    margin: Contrast
    source_rate: Floats
    invalid_rate: float
    counts: dict[str, int]


def summarise(
    datasets: Sequence[xr.Dataset],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    by_speaker: bool = False,
    invalid_is_wrong: bool = True,
) -> list[EffectRow]:
    """The effects of all datasets, sorted by model, corpus ("all" first), intervention and selector.

    Args:
        datasets: "answers" of one model × evaluation corpus each.
        draws: bootstrap resamples; the same for every cell of a corpus, and for every model on it.
        seed: of the resamples.
        by_speaker: resample speakers with all their utterances, instead of utterances within each emotion.
        invalid_is_wrong: count an answer that names no option as wrong; else leave its pairs out, as missing ones.

    Raises:
        ValueError: a dataset that does not hold exactly one baseline.
    """
    found: dict[tuple[str, str], list[_Effect]] = {}
    for dataset in datasets:
        trials = read_trials(dataset, invalid_is_wrong=invalid_is_wrong)
        sample = _resample(trials, draws, seed, by_speaker)
        found[trials.model, trials.corpus] = _effects(trials, sample)
    rows: list[EffectRow] = []
    for model in dict.fromkeys(model for model, _ in found):
        corpora = {corpus: effects for (owner, corpus), effects in found.items() if owner == model}
        rows += sorted(_macro_rows(model, corpora), key=_order)
        for corpus, effects in corpora.items():
            rows += sorted((_row(model, corpus, [effect]) for effect in effects), key=_order)
    return rows


def baselines(
    datasets: Sequence[xr.Dataset],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    by_speaker: bool = False,
    invalid_is_wrong: bool = True,
) -> list[BaselineRow]:
    """Accuracy of the unintervened model: per model × corpus, the mean over emotions first, then each emotion."""
    rows: list[BaselineRow] = []
    for dataset in datasets:
        trials = read_trials(dataset, invalid_is_wrong=invalid_is_wrong)
        by_label = accuracy(trials, trials.baseline, _resample(trials, draws, seed, by_speaker))
        rows.append(_baseline_row(trials, ALL, by_label.mean(axis=0), np.full(len(trials.label), True)))
        for code, emotion in enumerate(trials.emotions):
            rows.append(_baseline_row(trials, emotion, by_label[code], trials.label == code))
    return rows


def _resample(trials: Trials, draws: int, seed: int, by_speaker: bool) -> Resample:
    clusters = trials.speaker if by_speaker else None
    return resample(trials.label, len(trials.emotions), seed, trials.corpus, draws=draws, clusters=clusters)


def _effects(trials: Trials, sample: Resample) -> list[_Effect]:
    margin = margins(trials)
    return [_effect(trials, group, sample, margin) for group in trials.groups]


def _effect(trials: Trials, group: Group, sample: Resample, margin: Floats) -> _Effect:
    changes = accuracy_changes(trials, group, sample)
    outcome = trials.outcome[list(group.cells)]
    return _Effect(
        condition=group.condition,
        sources=tuple(emotion for emotion in trials.emotions if emotion in group.source_emotions),
        accuracy=contrast(changes, group, trials.emotions),
        level=_level(trials, group, sample),
        seeds=() if group.has_sources else group.seeds,
        by_seed=np.zeros(0) if group.has_sources else changes[:, :, 0].mean(axis=1),
        margin=contrast(margin_changes(trials, group, sample, margin), group, trials.emotions),
        source_rate=contrast(source_answer_changes(trials, group, sample), group, trials.emotions).across,
        invalid_rate=_invalid_rate(outcome),
        counts=_counts(outcome) | {"missing": int((~paired(trials, group)).sum()), "utterances": len(trials.label)},
    )


def _level(trials: Trials, group: Group, sample: Resample) -> Floats:
    """Accuracy in percent, mean over the emotions and cells: level[1 + draw]."""
    if group.has_sources:
        return np.full(len(sample.weights[0]), np.nan)
    levels: Floats = np.mean([accuracy(trials, cell, sample).mean(axis=0) for cell in group.cells], axis=0)
    return levels


def _macro_rows(model: str, corpora: dict[str, list[_Effect]]) -> Iterable[EffectRow]:
    """Masks of each corpus's own (and RND) averaged over the corpora that have them, where these are two or more.

    Corpora differ in how many utterances they can identify with: of several sizes a corpus's largest stands for it.
    """
    alike: dict[Condition, dict[str, _Effect]] = {}
    for corpus, effects in corpora.items():
        for effect in sorted(effects, key=lambda e: e.condition.identification_size or np.inf):  # 0: all there are
            if effect.condition.source_corpus in ("", corpus):
                condition = replace(effect.condition, source_corpus="", identification_size=-1)
                alike.setdefault(condition, {})[corpus] = effect
    return [_row(model, ALL, list(effects.values())) for effects in alike.values() if len(effects) > 1]


def _row(model: str, corpus: str, effects: Sequence[_Effect]) -> EffectRow:
    condition = effects[0].condition
    level = estimate(np.mean([effect.level for effect in effects], axis=0))
    return EffectRow(
        model,
        corpus,
        condition.selector,
        condition.intervention,
        condition.alpha,
        condition.fraction,
        condition.source_corpus if len(effects) == 1 else "",
        tuple(dict.fromkeys(source for effect in effects for source in effect.sources)),
        *estimate(np.mean([effect.accuracy.within for effect in effects], axis=0)),
        *estimate(np.mean([effect.accuracy.across for effect in effects], axis=0)),
        *estimate(np.mean([effect.accuracy.gap for effect in effects], axis=0)),
        _spread(effects),
        *estimate(np.mean([effect.margin.within for effect in effects], axis=0)),
        *estimate(np.mean([effect.margin.across for effect in effects], axis=0)),
        *estimate(np.mean([effect.source_rate for effect in effects], axis=0)),
        _defined(float(np.mean([effect.invalid_rate for effect in effects]))),
        tau=condition.tau,
        identification_size=condition.identification_size if len(effects) == 1 else -1,
        parts=condition.parts,
        accuracy=level.point,
        accuracy_low=level.low,
        accuracy_high=level.high,
        **{name: sum(effect.counts[name] for effect in effects) for name in effects[0].counts},
    )


def _spread(effects: Sequence[_Effect]) -> float | None:
    """Standard deviation over seeds of the mean over corpora; needs the same two or more seeds in each of them."""
    seeds = effects[0].seeds
    if len(seeds) < 2 or any(effect.seeds != seeds for effect in effects):
        return None
    return _defined(float(np.mean([effect.by_seed for effect in effects], axis=0).std(ddof=1)))


def _baseline_row(trials: Trials, emotion: str, by_draw: Floats, of_emotion: npt.NDArray[np.bool_]) -> BaselineRow:
    outcome = trials.outcome[trials.baseline, of_emotion]
    return BaselineRow(
        trials.model,
        trials.corpus,
        emotion,
        *estimate(by_draw),
        invalid_rate=_defined(_invalid_rate(outcome)),
        utterances=int(of_emotion.sum()),
        **_counts(outcome),
    )


def _counts(outcome: npt.NDArray[np.uint8]) -> dict[str, int]:
    lost = (Outcome.NOT_WRITTEN, Outcome.UNREADABLE, Outcome.NON_FINITE)
    return {loss.name.lower(): int((outcome == loss).sum()) for loss in lost}


def _invalid_rate(outcome: npt.NDArray[np.uint8]) -> float:
    invalid, answered = (int((outcome == code).sum()) for code in (Outcome.UNPARSED, Outcome.ANSWERED))
    return invalid / (invalid + answered) if invalid + answered else float("nan")


def _defined(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _order(row: EffectRow) -> tuple[object, ...]:
    interventions = [*INTERVENTIONS, row.intervention]
    selectors = [*Selector, row.selector]
    return (
        row.source_corpus not in ("", row.corpus),  # transfers after the corpus's own
        interventions.index(row.intervention),
        row.alpha,
        row.fraction,
        selectors.index(row.selector),
        row.source_corpus,
    )

"""The answers of one model on one corpus as plain arrays, their cells grouped into the conditions that are reported.

Knows no statistics. Cells come in any order; what a cell is, its coordinates say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.sweep.interventions import NO_PARAMETERS, PARAMETER_COLUMNS, InterventionParameters
from esn_dist.sweep.records import parameters_of
from esn_dist.terms import JOIN, Outcome


@dataclass(frozen=True, slots=True)
class Condition:
    """What one effect is about; its cells differ only in source emotion, or in the seed of their mask.

    Attributes:
        parameters: what the type of intervention takes besides its gain.
        identification_size, parts: of the masks; −1 and "" where they use no counts.
    """

    selector: str
    intervention: str
    alpha: float
    fraction: float
    source_corpus: str
    parameters: InterventionParameters = NO_PARAMETERS
    identification_size: int = -1
    parts: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The cells of one condition: either one per source emotion, or (no emotion: RND) one per seed.

    Attributes:
        condition: what the cells share.
        cells: positions on the cell axis.
        sources: source emotion of each cell, two joined by "+" in the co- types, "" without a source.
        seeds: seed of each cell's mask, -1 without a seed.
    """

    condition: Condition
    cells: tuple[int, ...]
    sources: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def has_sources(self) -> bool:
        """Whether self and cross are defined."""
        return any(self.sources)

    @property
    def source_emotions(self) -> frozenset[str]:
        """All emotions whose masks act in some cell."""
        return frozenset(emotion for source in self.sources for emotion in emotions_of(source))


@dataclass(frozen=True, slots=True)
class Trials:
    """Answers of one model × evaluation corpus.

    Attributes:
        label: label[utterance], position in `emotions`.
        speaker: speaker[utterance].
        answer: answer[cell, utterance], position in `emotions`, -1 = none.
        outcome: outcome[cell, utterance], see `terms.Outcome`.
        logprob: logprob[cell, utterance, emotion], natural log.
        baseline: the unintervened cell.
        groups: all other cells.
        invalid_is_wrong: whether an answer that names no option counts, as a wrong one; else its pairs are left out.
    """

    model: str
    corpus: str
    emotions: tuple[str, ...]
    label: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]
    answer: npt.NDArray[np.int8]
    outcome: npt.NDArray[np.uint8]
    logprob: npt.NDArray[np.float32]
    baseline: int
    groups: tuple[Group, ...]
    invalid_is_wrong: bool = True

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """usable[cell, utterance]: the model answered; an answer that cannot be parsed counts as a wrong one."""
        counted = (Outcome.ANSWERED, Outcome.UNPARSED) if self.invalid_is_wrong else (Outcome.ANSWERED,)
        answered: npt.NDArray[np.bool_] = np.isin(self.outcome, counted)
        return answered

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """correct[cell, utterance]; meaningless where not usable."""
        correct: npt.NDArray[np.bool_] = (self.outcome == Outcome.ANSWERED) & (self.answer == self.label)
        return correct


def emotions_of(source: str) -> tuple[str, ...]:
    """The emotions whose masks act in a cell with this source: two where it joins them, none for ""."""
    return tuple(source.split(JOIN)) if source else ()


def read_trials(answers: xr.Dataset, *, invalid_is_wrong: bool = True) -> Trials:
    """The dataset "answers" of one model × evaluation corpus as arrays; see `Trials` for `invalid_is_wrong`.

    Raises:
        ValueError: not exactly one baseline cell, a label that is no option, or two cells of one meaning.
    """
    emotions = _texts(answers, "emotion")
    labels = _texts(answers, "label")
    if not set(labels) <= set(emotions):
        raise ValueError(f"labels {sorted(set(labels) - set(emotions))} are not among the options {emotions}")
    baselines = [i for i, name in enumerate(_texts(answers, "intervention")) if name == "baseline"]
    if len(baselines) != 1:
        raise ValueError(f"{answers.attrs['model']} on {answers.attrs['corpus']} has {len(baselines)} baseline cells")
    return Trials(
        model=str(answers.attrs["model"]),
        corpus=str(answers.attrs["corpus"]),
        emotions=emotions,
        label=np.array([emotions.index(label) for label in labels], np.int64),
        speaker=np.array(_texts(answers, "speaker"), np.str_),
        answer=answers["answer"].transpose("cell", "utterance").values,
        outcome=answers["outcome"].transpose("cell", "utterance").values,
        logprob=answers["logprob"].transpose("cell", "utterance", "emotion").values,
        baseline=baselines[0],
        groups=_groups(answers, baselines[0]),
        invalid_is_wrong=invalid_is_wrong,
    )


def conditions_of(answers: xr.Dataset) -> list[Condition]:
    """The condition of every cell of "answers"; that of the baseline has no selector, gain or masks."""
    selectors, interventions, corpora = (_texts(answers, n) for n in ("selector", "intervention", "source_corpus"))
    sizes, parts = _column(answers, "identification_size", -1), _column(answers, "parts", "")
    parameters = _parameters(answers)
    return [
        Condition(
            selectors[cell], interventions[cell], float(answers["alpha"].values[cell]),
            float(answers["fraction"].values[cell]), corpora[cell], parameters[cell],
            int(sizes[cell]), str(parts[cell]),
        )
        for cell in range(answers.sizes["cell"])
    ]  # fmt: skip


def _parameters(answers: xr.Dataset) -> list[InterventionParameters]:
    """Of every cell, from the text column `parameters` and the columns that some parameters have for themselves."""
    names = [name for name in ("parameters", *PARAMETER_COLUMNS) if name in answers.coords]
    columns = [answers[name].values.tolist() for name in names]
    cells = range(answers.sizes["cell"])
    return [parameters_of({name: of[cell] for name, of in zip(names, columns, strict=True)}) for cell in cells]


def _groups(answers: xr.Dataset, baseline: int) -> tuple[Group, ...]:
    sources, seeds = _texts(answers, "source_emotion"), [int(seed) for seed in answers["mask_seed"].values]
    members: dict[Condition, list[int]] = {}
    for cell, condition in enumerate(conditions_of(answers)):
        if cell != baseline:
            members.setdefault(condition, []).append(cell)
    return tuple(_group(condition, cells, sources, seeds) for condition, cells in members.items())


def _group(condition: Condition, cells: Sequence[int], sources: Sequence[str], seeds: Sequence[int]) -> Group:
    ordered = sorted(cells, key=lambda cell: (seeds[cell], cell))
    meanings = [(sources[cell], seeds[cell]) for cell in ordered]
    if len(set(meanings)) < len(meanings):
        raise ValueError(f"two cells of {condition} have the same source emotion and seed")
    return Group(condition, tuple(ordered), tuple(s for s, _ in meanings), tuple(n for _, n in meanings))


def _column(answers: xr.Dataset, name: str, absent: object) -> npt.NDArray[Any]:
    """A coordinate of the cells, or `absent` everywhere."""
    return answers[name].values if name in answers.coords else np.full(answers.sizes["cell"], absent)


def _texts(answers: xr.Dataset, name: str) -> tuple[str, ...]:
    return tuple(map(str, answers[name].values))

"""Surveys a corpus for `esn-dist corpora`: validates every clip of the studied emotions and draws the sets.

The sets are exactly those of a run. Loads no model and writes only to the cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.corpora.loader import ProgressCallback, count_by_split, load_corpus
from esn_dist.corpora.probe import probe, probe_header
from esn_dist.corpora.scan import probe_all
from esn_dist.corpora.sets import SetRule, draw
from esn_dist.corpora.utterance import Clip, Exclusion, LoadedCorpus, Utterance
from esn_dist.errors import UserError
from esn_dist.sweep.corpus_spec import CorpusSpec


@dataclass(frozen=True, slots=True)
class SetSize:
    """Size of a set: clips of each emotion, and how many of all are by an unknown speaker."""

    by_emotion: Mapping[str, int]
    unknown_speakers: int


@dataclass(frozen=True, slots=True)
class Survey:
    """The survey of one corpus.

    Attributes:
        listed: utterances of the studied emotions by (split, emotion).
        valid: those of them that meet the limits; hours: of the valid ones.
        exclusions: all others, of studied emotions or not.
        evaluation, identification: the sets; None where they cannot be drawn, for the reason in `problem`.
        decoded: whether every clip was decoded; else only headers were read.
    """

    name: str
    type: str
    emotions: tuple[str, ...]
    decoded: bool
    root: Path | None = None
    listed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    valid: Mapping[tuple[str, str], int] = field(default_factory=dict)
    hours: Mapping[tuple[str, str], float] = field(default_factory=dict)
    exclusions: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    speaker_disjoint: bool = False
    evaluation: SetSize | None = None
    identification: SetSize | None = None
    problem: str = ""


def survey(
    spec: CorpusSpec,
    seed: int,
    cache: Path,
    *,
    workers: int = 1,
    headers_only: bool = False,
    progress: ProgressCallback | None = None,
) -> Survey:
    """Load and validate the corpus of `spec` and draw its sets; a UserError becomes the survey's `problem`.

    Args:
        seed: the sweep's, from which the sets are drawn.
        headers_only: trust the headers; silence and broken samples are not detected.
    """
    empty_survey = Survey(spec.name, spec.type, spec.emotions, decoded=not headers_only)
    try:
        corpus = load_corpus(spec, cache, workers=workers, progress=progress)
    except UserError as error:
        return replace(empty_survey, problem=str(error))
    validator = partial(probe_header if headers_only else probe, limits=spec.limits)
    results = probe_all(corpus.utterances, validator, workers=workers, progress=progress)
    return _with_sets(_with_counts(empty_survey, corpus, results), spec, seed, corpus.utterances, results)


def _with_counts(empty_survey: Survey, corpus: LoadedCorpus, results: Sequence[Clip | Exclusion]) -> Survey:
    clips = [result for result in results if isinstance(result, Clip)]
    samples: Counter[tuple[str, str]] = Counter()
    for clip in clips:
        samples[clip.utterance.split, clip.utterance.emotion] += clip.samples
    return replace(
        empty_survey,
        root=corpus.root,
        listed=count_by_split(corpus),
        valid=Counter((clip.utterance.split, clip.utterance.emotion) for clip in clips),
        hours={key: count / SAMPLE_RATE / 3600 for key, count in samples.items()},
        exclusions=(*corpus.exclusions, *(result for result in results if isinstance(result, Exclusion))),
        notes=corpus.notes,
    )


def _with_sets(
    counted: Survey, spec: CorpusSpec, seed: int, utterances: Sequence[Utterance], results: Sequence[Clip | Exclusion]
) -> Survey:
    pool = spec.identification
    by_id = {utterance.id: result for utterance, result in zip(utterances, results, strict=True)}
    try:
        sets = draw(
            utterances,
            spec.emotions,
            seed=seed,
            corpus=spec.name,
            evaluation=SetRule(spec.evaluation.splits, spec.evaluation.per_emotion),
            identification=SetRule(pool.splits, pool.candidates),
            validate=lambda batch: [by_id[utterance.id] for utterance in batch],
            speaker_disjoint=pool.speaker_disjoint,
        )
    except UserError as error:
        return replace(counted, problem=str(error))
    return replace(
        counted,
        speaker_disjoint=pool.speaker_disjoint,
        evaluation=_size(spec.emotions, sets.evaluation),
        identification=_size(spec.emotions, sets.identification),
    )


def _size(emotions: Sequence[str], clips: Sequence[Clip]) -> SetSize:
    counts = Counter(clip.utterance.emotion for clip in clips)
    clips_without_speaker = sum(not clip.utterance.speaker for clip in clips)
    return SetSize({emotion: counts[emotion] for emotion in emotions}, clips_without_speaker)

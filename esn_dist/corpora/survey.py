"""What a corpus holds and what a sweep would take of it: every clip of the studied emotions judged, the sets drawn.

Draws exactly the sets that a run draws, from the same verdicts. Loads no model and writes nothing but the cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.corpora.index_counts import by_split
from esn_dist.corpora.open import open_corpus
from esn_dist.corpora.probe import probe, probe_header
from esn_dist.corpora.scan import Progress, judged
from esn_dist.corpora.sets import SetRule, draw
from esn_dist.corpora.utterance import Clip, Listing, SetAside, Utterance
from esn_dist.errors import UserError
from esn_dist.sweep.corpus_spec import CorpusSpec


@dataclass(frozen=True, slots=True)
class SetSize:
    """One set: clips of each emotion, and how many of all have no speaker that the corpus names."""

    by_emotion: Mapping[str, int]
    unknown_speakers: int


@dataclass(frozen=True, slots=True)
class Survey:
    """One corpus.

    Attributes:
        listed: utterances of the studied emotions by (split, emotion).
        fit: those of them that keep the limits; hours: of the fit ones.
        set_aside: all others, studied emotions or not.
        evaluation, identification: the sets; None where they cannot be drawn, for the reason in `problem`.
        decoded: whether every clip was decoded, or only its header read.
    """

    name: str
    type: str
    emotions: tuple[str, ...]
    decoded: bool
    root: Path | None = None
    listed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    fit: Mapping[tuple[str, str], int] = field(default_factory=dict)
    hours: Mapping[tuple[str, str], float] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()
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
    progress: Progress | None = None,
) -> Survey:
    """Open, judge and draw `spec`; a mistake of the user's on the way is the survey's `problem`.

    Args:
        seed: the sweep's, from which the sets are drawn.
        headers_only: believe what the files declare; silence and broken samples go unseen.
    """
    blank = Survey(spec.name, spec.type, spec.emotions, decoded=not headers_only)
    try:
        listing = open_corpus(spec, cache, workers=workers, progress=progress)
    except UserError as error:
        return replace(blank, problem=str(error))
    judge = partial(probe_header if headers_only else probe, limits=spec.limits)
    verdicts = judged(listing.utterances, judge, workers=workers, progress=progress)
    holdings = _holdings(blank, listing, verdicts)
    return _with_sets(holdings, spec, seed, listing.utterances, verdicts)


def _holdings(blank: Survey, listing: Listing, verdicts: Sequence[Clip | SetAside]) -> Survey:
    clips = [verdict for verdict in verdicts if isinstance(verdict, Clip)]
    samples: Counter[tuple[str, str]] = Counter()
    for clip in clips:
        samples[clip.utterance.split, clip.utterance.emotion] += clip.samples
    return replace(
        blank,
        root=listing.root,
        listed=by_split(listing),
        fit=Counter((clip.utterance.split, clip.utterance.emotion) for clip in clips),
        hours={key: count / SAMPLE_RATE / 3600 for key, count in samples.items()},
        set_aside=(*listing.set_aside, *(verdict for verdict in verdicts if isinstance(verdict, SetAside))),
        notes=listing.notes,
    )


def _with_sets(
    found: Survey, spec: CorpusSpec, seed: int, utterances: Sequence[Utterance], verdicts: Sequence[Clip | SetAside]
) -> Survey:
    pool = spec.identification
    known = {utterance.id: verdict for utterance, verdict in zip(utterances, verdicts, strict=True)}
    try:
        sets = draw(
            utterances,
            spec.emotions,
            seed=seed,
            corpus=spec.name,
            evaluation=SetRule(spec.evaluation.splits, spec.evaluation.per_emotion),
            identification=SetRule(pool.splits, pool.candidates),
            judge=lambda asked: [known[utterance.id] for utterance in asked],
            speaker_disjoint=pool.speaker_disjoint,
        )
    except UserError as error:
        return replace(found, problem=str(error))
    return replace(
        found,
        speaker_disjoint=pool.speaker_disjoint,
        evaluation=_size(spec.emotions, sets.evaluation),
        identification=_size(spec.emotions, sets.identification),
    )


def _size(emotions: Sequence[str], clips: Sequence[Clip]) -> SetSize:
    counts = Counter(clip.utterance.emotion for clip in clips)
    unknown = sum(not clip.utterance.speaker for clip in clips)
    return SetSize({emotion: counts[emotion] for emotion in emotions}, unknown)

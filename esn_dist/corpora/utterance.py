"""The records of a corpus: utterances as listed, clips as decoded, and exclusions with their reasons.

Knows no file format, no audio and no set. Every loader returns a `LoadedCorpus`, every scan clips and exclusions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from esn_dist.errors import UserError, did_you_mean


@dataclass(frozen=True, slots=True)
class Utterance:
    """One labelled recording as the corpus lists it; its file has not been read.

    Attributes:
        id: unique in the corpus.
        speaker: "" where the corpus does not name one.
        split: "" where the corpus has none.
        path: the audio file, which may be missing.
    """

    id: str
    speaker: str
    emotion: str
    split: str
    path: Path


@dataclass(frozen=True, slots=True)
class Clip:
    """An utterance whose audio was decoded and is valid: `samples` at 16 kHz, `sha256` of the file's bytes (hex)."""

    utterance: Utterance
    samples: int
    sha256: str


class Reason(StrEnum):
    """Why an utterance is excluded; the words that `status`, `corpora` and the report print."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    LENGTH_MISMATCH = "length mismatch"
    TOO_SHORT = "too short"
    TOO_LONG = "too long"
    NON_FINITE = "non-finite"
    SILENT = "silent"
    LABEL_EXCLUDED = "label excluded"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An utterance that takes part in no set; `detail` is the observation ("lasts 0.05 s, the least is 0.1 s")."""

    id: str
    emotion: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class LoadedCorpus:
    """What a loader returns.

    Attributes:
        utterances: those of the studied emotions, in the corpus's own order.
        exclusions: utterances of other labels.
        root: the folder that the utterances' paths are relative to.
        notes: sentences on how the corpus was read ("labels.csv is not UTF-8: read as cp1252").
    """

    utterances: tuple[Utterance, ...]
    exclusions: tuple[Exclusion, ...]
    root: Path
    notes: tuple[str, ...] = ()


def keep_emotions(
    utterances: Iterable[Utterance], emotions: Sequence[str], *, where: str, root: Path, notes: tuple[str, ...] = ()
) -> LoadedCorpus:
    """Split `utterances` into those of `emotions` and those excluded as "label excluded".

    Args:
        where: the file or folder that was read, for the error.
        root: the folder that the paths are relative to.

    Raises:
        UserError: an emotion that no utterance has.
    """
    listed = tuple(utterances)
    counts = Counter(utterance.emotion for utterance in listed)
    for emotion in emotions:
        if emotion not in counts:
            raise UserError(
                f"no utterance has the emotion {emotion!r}.{did_you_mean(emotion, counts)}",
                where=where,
                expected=f"one of the corpus's labels: {tally(counts)}",
                fix="correct the corpus's `emotions`, or its labels (a manifest's `labels: {happy: joy}` maps them)",
            )
    studied = set(emotions)
    return LoadedCorpus(
        utterances=tuple(utterance for utterance in listed if utterance.emotion in studied),
        exclusions=tuple(
            Exclusion(utterance.id, utterance.emotion, Reason.LABEL_EXCLUDED, f"labelled {utterance.emotion!r}")
            for utterance in listed
            if utterance.emotion not in studied
        ),
        root=root,
        notes=notes,
    )


def tally(counts: Counter[str]) -> str:
    """`anger 12, joy 7`: the most frequent first, then by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered) or "none"

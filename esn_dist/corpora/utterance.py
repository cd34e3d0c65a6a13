"""What a corpus is made of: utterances as listed, clips as decoded, and what was set aside with its reason.

Knows no file format, no audio and no set: every loader ends in a `Listing`, every scan in clips and set-asides.
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
    """One line of a corpus, not yet looked at: `speaker` and `split` are "" where the corpus does not say."""

    id: str
    speaker: str
    emotion: str
    split: str
    path: Path


@dataclass(frozen=True, slots=True)
class Clip:
    """An utterance that was decoded and found fit: `samples` at 16 kHz, `sha256` of the file's bytes (hex)."""

    utterance: Utterance
    samples: int
    sha256: str


class Reason(StrEnum):
    """Why an utterance does not take part; the words that `status`, `corpora` and the report print."""

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
class SetAside:
    """An utterance that was passed over; `detail` says what was seen ("lasts 0.05 s, the least is 0.1 s")."""

    id: str
    emotion: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a loader found: utterances of the wanted emotions, the others set aside, and notes for the user.

    Attributes:
        root: the folder that the utterances' paths are told from.
        notes: sentences on how the corpus was read ("labels.csv is not UTF-8: read as cp1252").
    """

    utterances: tuple[Utterance, ...]
    set_aside: tuple[SetAside, ...]
    root: Path
    notes: tuple[str, ...] = ()


def keep_emotions(
    found: Iterable[Utterance], emotions: Sequence[str], *, where: str, root: Path, notes: tuple[str, ...] = ()
) -> Listing:
    """Split `found` into utterances of `emotions` and utterances set aside as "label excluded".

    Raises:
        UserError: an emotion that no utterance has; `where` names the file or folder that was read, `root` the folder
            that the paths are told from.
    """
    everything = tuple(found)
    counts = Counter(utterance.emotion for utterance in everything)
    for emotion in emotions:
        if emotion not in counts:
            raise UserError(
                f"no utterance has the emotion {emotion!r}.{did_you_mean(emotion, counts)}",
                where=where,
                expected=f"one of the labels found: {tally(counts)}",
                fix="correct the corpus's `emotions`, or its labels (a manifest's `labels: {happy: joy}` maps them)",
            )
    wanted = set(emotions)
    return Listing(
        utterances=tuple(utterance for utterance in everything if utterance.emotion in wanted),
        set_aside=tuple(
            SetAside(utterance.id, utterance.emotion, Reason.LABEL_EXCLUDED, f"labelled {utterance.emotion!r}")
            for utterance in everything
            if utterance.emotion not in wanted
        ),
        root=root,
        notes=notes,
    )


def tally(counts: Counter[str]) -> str:
    """`anger 12, joy 7`: the most frequent first, then by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered) or "none"

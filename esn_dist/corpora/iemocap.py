"""IEMOCAP's full release: labels from the summary lines of the dialogues' label files, one wav per utterance.

Opens no audio file. Splits are the sessions, speakers the ten actors (Ses01F … Ses05M).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from esn_dist.corpora.folders import files_in, folders_below
from esn_dist.corpora.loader import CorpusLoader, count_by_split
from esn_dist.corpora.utterance import LoadedCorpus, Utterance, keep_emotions
from esn_dist.errors import UserError
from esn_dist.sweep.base_spec import Name, identity, runtime
from esn_dist.sweep.corpus_spec import SHARED_EMOTIONS, CorpusSpec
from esn_dist.sweep.corpus_types import PublishedCounts

IEMOCAP_LABELS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "joy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "xxx": "no agreement",
}
SESSIONS = tuple(f"Session{number}" for number in range(1, 6))

_EXPECTED = "Session1 … Session5, each with dialog/EmoEvaluation/*.txt and sentences/wav (the full release)"
_SUMMARY = re.compile(r"^\[\d+\.\d+ - \d+\.\d+\]\t(?P<name>Ses0[1-5][FM]_\S+_[FM]\d{3})\t(?P<label>[a-z]{3})\t\[")


class IemocapCorpus(CorpusSpec):
    """IEMOCAP, full release. Splits: Session1 … Session5. Speakers: Ses01F … Ses05M."""

    type: Literal["iemocap"] = identity()
    path: Path = runtime(
        description="its folder, relative to this file: the one that contains Session1 … Session5, or its parent"
    )
    emotions: tuple[Name, ...] = identity(
        (*SHARED_EMOTIONS[:1], "frustration", *SHARED_EMOTIONS[1:]),
        min_length=2,
        max_length=9,
        description="labels studied",
    )
    excited_is_joy: bool = identity(
        False, description="merge `exc` into joy, as most work does; the paper's Table 4 fits `hap` alone only"
    )

    @property
    def merged_labels(self) -> Mapping[str, str]:
        return {"excitement": "joy"} if self.excited_is_joy else {}


def read_iemocap(path: Path, emotions: Sequence[str], *, excited_is_joy: bool = False) -> LoadedCorpus:
    """The utterances of all sessions below `path`, by session, dialogue and line of its label file.

    Args:
        path: the folder that contains Session1 … Session5, or its parent.
        excited_is_joy: `exc` counts as joy, as `hap` does.

    Raises:
        UserError: no sessions, no label files, two labels for one utterance, an emotion that no utterance has.
    """
    root = _release(path)
    sessions = [session for session in SESSIONS if (root / session).is_dir()]
    emotion_of = {**IEMOCAP_LABELS, "exc": "joy"} if excited_is_joy else IEMOCAP_LABELS
    utterances: dict[str, Utterance] = {}
    malformed: list[str] = []
    for session in sessions:
        for file in _label_files(root / session):
            for utterance in _summaries(file, root / session, emotion_of, malformed):
                if utterances.setdefault(utterance.id, utterance).emotion != utterance.emotion:
                    raise UserError(f"{utterance.id} has another label in another file", where=str(file))
    if not utterances:
        raise UserError("no label file has a summary line", where=str(root), expected=_EXPECTED)
    return keep_emotions(utterances.values(), emotions, where=str(root), root=root, notes=_notes(sessions, malformed))


def _release(path: Path) -> Path:
    for folder in folders_below(path, 1):
        if any((folder / session / "dialog").is_dir() for session in SESSIONS):
            return folder
    raise UserError("no IEMOCAP release here", where=str(path), expected=_EXPECTED)


def _label_files(session: Path) -> list[Path]:
    """The dialogues' label files. Folders of single raters, which also contain .txt files, are not entered."""
    folder = session / "dialog" / "EmoEvaluation"
    if not folder.is_dir():
        raise UserError("no label files", where=str(folder), expected=_EXPECTED)
    return [folder / name for name in sorted(files_in(folder)) if name.startswith("Ses") and name.endswith(".txt")]


def _summaries(file: Path, session: Path, emotion_of: Mapping[str, str], malformed: list[str]) -> Iterator[Utterance]:
    """The utterances of one dialogue. Lines of raters between the summaries are skipped."""
    # Raters' comments are free text in any encoding; the summaries are ASCII.
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if summary := _SUMMARY.match(line):
            name, label = summary["name"], summary["label"]
            audio = session / "sentences" / "wav" / name[:-5] / f"{name}.wav"
            yield Utterance(name, speaker_of(name), emotion_of.get(label, label), session.name, audio)
        elif line.startswith("["):
            malformed.append(f"{file.name}:{number}")


def speaker_of(name: str) -> str:
    """Session and sex of the speaker: the letter before the turn's three digits.

    The letter after the session's number is the actor with the markers: `Ses01F_impro01_M000` is spoken by Ses01M.
    """
    return name[:5] + name[-4]


def _notes(sessions: Sequence[str], malformed: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if len(sessions) < len(SESSIONS):
        notes.append(f"only {', '.join(sessions)} of {len(SESSIONS)} sessions are here")
    if malformed:
        notes.append(f"{len(malformed)} lines look like a summary and are none, the first in {malformed[0]}")
    return tuple(notes)


# The release's own label files; the same in seven public loaders. Frustration: published totals of six classes.
_PUBLISHED = PublishedCounts(
    "the full release",
    {
        "Session1": {"neutral": 384, "anger": 229, "sadness": 194, "joy": 135, "excitement": 143, "frustration": 280},
        "Session2": {"neutral": 362, "anger": 137, "sadness": 197, "joy": 117, "excitement": 210, "frustration": 325},
        "Session3": {"neutral": 320, "anger": 240, "sadness": 305, "joy": 135, "excitement": 151, "frustration": 382},
        "Session4": {"neutral": 258, "anger": 327, "sadness": 143, "joy": 65, "excitement": 238, "frustration": 481},
        "Session5": {"neutral": 384, "anger": 170, "sadness": 245, "joy": 143, "excitement": 299, "frustration": 381},
    },
)


def _load(spec: IemocapCorpus) -> LoadedCorpus:
    return read_iemocap(spec.path, spec.emotions, excited_is_joy=spec.excited_is_joy)


IEMOCAP = CorpusLoader(
    spec=IemocapCorpus,
    load=lambda spec, options: _load(spec),
    count_labels=lambda spec: count_by_split(_load(spec)),
    published=_PUBLISHED,
)

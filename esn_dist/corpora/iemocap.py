"""IEMOCAP's full release as it lies on disk: summary lines of the dialogues' label files, one wav per utterance.

Looks at no audio file. Splits are the sessions, speakers the ten actors (Ses01F … Ses05M).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from esn_dist.corpora.folders import files_in, folders_below
from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions
from esn_dist.errors import UserError

LABELS = {
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

_SUMMARY = re.compile(r"^\[\d+\.\d+ - \d+\.\d+\]\t(?P<name>Ses0[1-5][FM]_\S+_[FM]\d{3})\t(?P<label>[a-z]{3})\t\[")


def read_iemocap(path: Path, emotions: Sequence[str], *, excited_is_joy: bool = False) -> Listing:
    """The utterances of all sessions below `path`, by session, dialogue and place in its label file.

    Args:
        path: the folder that holds Session1 … Session5, or its parent.
        excited_is_joy: `exc` counts as joy beside `hap`.

    Raises:
        UserError: no sessions there, no label files in them, two labels for one utterance, an emotion nobody has.
    """
    root = _release(path)
    sessions = [session for session in SESSIONS if (root / session).is_dir()]
    meaning = {**LABELS, "exc": "joy"} if excited_is_joy else LABELS
    utterances: dict[str, Utterance] = {}
    unread: list[str] = []
    for session in sessions:
        for file in _label_files(root / session):
            for utterance in _summaries(file, root / session, meaning, unread):
                if utterances.setdefault(utterance.id, utterance).emotion != utterance.emotion:
                    raise UserError(f"{utterance.id} has another label in another file", where=str(file))
    if not utterances:
        raise UserError("no label file has a summary line", where=str(root), expected=_EXPECTED)
    return keep_emotions(utterances.values(), emotions, where=str(root), root=root, notes=_notes(sessions, unread))


_EXPECTED = "Session1 … Session5, each with dialog/EmoEvaluation/*.txt and sentences/wav (the full release)"


def _release(path: Path) -> Path:
    for folder in folders_below(path, 1):
        if any((folder / session / "dialog").is_dir() for session in SESSIONS):
            return folder
    raise UserError("no IEMOCAP release here", where=str(path), expected=_EXPECTED)


def _label_files(session: Path) -> list[Path]:
    """The dialogues' label files. The folders beside them hold single raters' opinions, also as .txt: not entered."""
    folder = session / "dialog" / "EmoEvaluation"
    if not folder.is_dir():
        raise UserError("no label files", where=str(folder), expected=_EXPECTED)
    return [folder / name for name in sorted(files_in(folder)) if name.startswith("Ses") and name.endswith(".txt")]


def _summaries(file: Path, session: Path, meaning: dict[str, str], unread: list[str]) -> Iterator[Utterance]:
    """The utterances of one dialogue. Lines of raters between the summaries vary in number and are passed over."""
    # Raters' comments are free text in whatever encoding; the summaries are ASCII.
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if found := _SUMMARY.match(line):
            name, label = found["name"], found["label"]
            audio = session / "sentences" / "wav" / name[:-5] / f"{name}.wav"
            yield Utterance(name, speaker_of(name), meaning.get(label, label), session.name, audio)
        elif line.startswith("["):
            unread.append(f"{file.name}:{number}")


def speaker_of(name: str) -> str:
    """Session and sex of who speaks: the letter before the turn's three digits.

    The letter after the session's number says who wears the markers: `Ses01F_impro01_M000` is spoken by Ses01M.
    """
    return name[:5] + name[-4]


def _notes(sessions: Sequence[str], unread: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if len(sessions) < len(SESSIONS):
        notes.append(f"only {', '.join(sessions)} of {len(SESSIONS)} sessions are here")
    if unread:
        notes.append(f"{len(unread)} lines look like a summary and are none, the first in {unread[0]}")
    return tuple(notes)

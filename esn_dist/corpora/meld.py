"""MELD as people unpack it: three csv files and three folders of clips, found by name wherever they lie.

Looks into no clip. Dialogue numbers begin at 0 in each split, so ids carry the split: `test_dia0_utt0`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from esn_dist.corpora.folders import files_in, folders_below, shown
from esn_dist.corpora.table import Columns, once, read_table
from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions
from esn_dist.errors import UserError

SPLITS = ("train", "dev", "test")
PUBLISHED = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
"""The clip folders as the archives unpack."""

RECUT = "final_videos_test"
SUFFIXES = (".mp4", ".wav", ".flac", ".m4a", ".mp3")
"""The clips themselves, then what people extract from them under the same stems; the first found is taken."""

_COLUMNS = Columns(("Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"), blank=frozenset({"Speaker"}))
_CLIP = re.compile(rf"^(?:{RECUT})?(?P<stem>dia\d+_utt\d+)\.\w+$")
_SEVERAL = re.compile(r"(,| and |/|&)|^(all|both|every(one|body)|group|guys|girls)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """A folder of clips with the names of its files."""

    path: Path
    files: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below the folder that the user named."""

    root: Path
    tables: Mapping[str, Path]
    clips: Mapping[str, Sequence[ClipFolder]]


def read_meld(path: Path, emotions: Sequence[str], *, prefer_recuts: bool = True) -> Listing:
    """The utterances of every split whose csv is found, in the csv's order.

    Args:
        path: MELD.Raw or its parent.
        prefer_recuts: take `final_videos_testdia…` where a test clip has one beside the plain file.

    Raises:
        UserError: no csv there, a column or cell missing in one, a row twice, an emotion that no row has.
    """
    found = _search(path)
    utterances: list[Utterance] = []
    notes: list[str] = [] if len(found.tables) == len(SPLITS) else [_missing_tables(found)]
    for split, table in found.tables.items():
        rows, said = read_table(table, _COLUMNS)
        used = _Clips(found.root, split, found.clips.get(split, ()), prefer_recuts and split == "test")
        of_split = [used.utterance(cells) for cells in _unique(table, rows)]
        utterances += of_split
        notes += [*said, *used.notes(of_split)]
    if group := Counter(u.speaker for u in utterances if _SEVERAL.search(u.speaker)):
        notes.append(f"utterances by several speakers at once, so of unknown speaker: {group.total()} ({shown(group)})")
        utterances = [_without_group(utterance) for utterance in utterances]
    return keep_emotions(utterances, emotions, where=str(found.root), root=found.root, notes=tuple(notes))


def _search(path: Path) -> Found:
    tables: dict[str, Path] = {}
    clips: dict[str, list[ClipFolder]] = {}
    for folder in folders_below(path, 3):
        names = files_in(folder)
        for split in SPLITS:
            if f"{split}_sent_emo.csv" in names:
                tables.setdefault(split, folder / f"{split}_sent_emo.csv")
        if any(_CLIP.match(name) for name in names) and (owner := _split_of(folder.relative_to(path))):
            clips.setdefault(owner, []).append(ClipFolder(folder, names))
    if not tables:
        raise UserError(
            "no MELD here: no train_sent_emo.csv, dev_sent_emo.csv or test_sent_emo.csv", where=str(path),
            expected="MELD.Raw, unpacked", fix="unpack train.tar.gz, dev.tar.gz and test.tar.gz; the first holds a csv",
        )  # fmt: skip
    for split, folders in clips.items():
        folders.sort(key=lambda folder: folder.path.name != PUBLISHED[split])  # stable: then the nearest first
    return Found(path, {split: tables[split] for split in SPLITS if split in tables}, clips)


def _split_of(folder: Path) -> str | None:
    """The split that the name of a clip folder (told from the root) speaks of, or else that of a folder around it."""
    for name in reversed(folder.parts):
        found = {split for split in SPLITS if re.search(rf"(?<![a-z]){split}(?![a-z])|^{split}", name.lower())}
        if len(found) == 1:
            return found.pop()
    return None


def _unique(table: Path, rows: Iterator[tuple[int, tuple[str, ...]]]) -> Iterator[tuple[str, ...]]:
    lines: dict[str, int] = {}
    for line, cells in rows:
        once(lines, f"{cells[2]}/{cells[3]}", line, table, "Dialogue_ID/Utterance_ID")
        yield cells


class _Clips:
    """The clips of one split, asked for by dialogue and utterance number."""

    def __init__(self, root: Path, split: str, folders: Sequence[ClipFolder], recuts: bool) -> None:
        self.root, self.split, self.folders = root, split, folders
        self.prefixes = (RECUT, "") if recuts else ("", RECUT)
        self.expected = folders[0].path if folders else root / PUBLISHED[split]

    def utterance(self, cells: Sequence[str]) -> Utterance:
        speaker, emotion, dialogue, number = cells
        stem = f"dia{dialogue}_utt{number}"
        return Utterance(f"{self.split}_{stem}", speaker, emotion.lower(), self.split, self._path(stem))

    def _path(self, stem: str) -> Path:
        """The best file of this stem; where there is none, the one that should be there."""
        for prefix in self.prefixes:
            for suffix in SUFFIXES:
                name = f"{prefix}{stem}{suffix}"
                for folder in self.folders:
                    if name in folder.files:
                        return folder.path / name
        return self.expected / f"{stem}.mp4"

    def notes(self, listed: Sequence[Utterance]) -> Iterator[str]:
        """What is worth knowing of how the split's clips were found."""
        if not self.folders:
            yield f"{self.split}: no folder of clips found (the archive's is {PUBLISHED[self.split]})"
            return
        if len(self.folders) > 1:
            places = [str(folder.path.relative_to(self.root)) for folder in self.folders]
            yield f"{self.split}: clips in {len(places)} folders, the first wins: {', '.join(places)}"
        if recuts := sum(utterance.path.name.startswith(RECUT) for utterance in listed):
            yield f"{self.split}: clips taken from a re-cut {RECUT}*: {recuts}"
        stems = {found["stem"] for folder in self.folders for name in folder.files if (found := _CLIP.match(name))}
        if spare := stems - {utterance.id.removeprefix(f"{self.split}_") for utterance in listed}:
            yield f"{self.split}: clips without a row in the csv, passed over: {len(spare)} ({shown(spare)})"


def _without_group(utterance: Utterance) -> Utterance:
    """Of a name for several people nobody can say whose voice it is."""
    u = utterance
    return Utterance(u.id, "", u.emotion, u.split, u.path) if _SEVERAL.search(u.speaker) else u


def _missing_tables(found: Found) -> str:
    lacking = [f"{split}_sent_emo.csv" for split in SPLITS if split not in found.tables]
    return f"{', '.join(lacking)} not found: that split is left out (the train csv is inside train.tar.gz)"

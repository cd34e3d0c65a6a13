"""MELD as people unpack it: three csv files and three folders of clips, located by name in any layout.

Opens no clip. Dialogue numbers begin at 0 in each split, so ids contain the split: `test_dia0_utt0`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esn_dist.corpora.folders import abbreviated, files_in, folders_below
from esn_dist.corpora.loader import CorpusLoader, count_by_split
from esn_dist.corpora.table import Columns, read_table, require_unique
from esn_dist.corpora.utterance import LoadedCorpus, Utterance, keep_emotions
from esn_dist.errors import UserError
from esn_dist.sweep.base_spec import Name, identity, runtime
from esn_dist.sweep.corpus_spec import SHARED_EMOTIONS, CorpusSpec
from esn_dist.sweep.corpus_types import PublishedCounts

MELD_SPLITS = ("train", "dev", "test")
ARCHIVE_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
"""The clip folders as the archives unpack."""

RECUT = "final_videos_test"
CLIP_SUFFIXES = (".mp4", ".wav", ".flac", ".m4a", ".mp3")
"""The clips themselves, then audio that people extract under the same stems; the first that exists is used."""

_COLUMNS = Columns(("Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"), blank=frozenset({"Speaker"}))
_CLIP = re.compile(rf"^(?:{RECUT})?(?P<stem>dia\d+_utt\d+)\.\w+$")
_SEVERAL = re.compile(r"(,| and |/|&)|^(all|both|every(one|body)|group|guys|girls)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """A folder of clips with the names of its files."""

    path: Path
    files: frozenset[str]


@dataclass(frozen=True, slots=True)
class MeldFiles:
    """The files of MELD below the folder that the user named: by split, its csv and its folders of clips."""

    root: Path
    tables: Mapping[str, Path]
    clips: Mapping[str, Sequence[ClipFolder]]


class MeldCorpus(CorpusSpec):
    """MELD. Splits: train, dev, test. The mp4 clips need the extra `video`."""

    type: Literal["meld"] = identity()
    path: Path = runtime(
        description="its folder, relative to this file: MELD.Raw, or its parent, unpacked in any layout"
    )
    emotions: tuple[Name, ...] = identity(
        (*SHARED_EMOTIONS, "surprise"), min_length=2, max_length=9, description="labels studied"
    )
    prefer_recuts: bool = identity(
        True, description="where a test clip has a re-cut final_videos_test*, take that: it fits the csv's times"
    )


def read_meld(path: Path, emotions: Sequence[str], *, prefer_recuts: bool = True) -> LoadedCorpus:
    """The utterances of every split that has a csv, in the csv's order.

    Args:
        path: MELD.Raw or its parent.
        prefer_recuts: take `final_videos_testdia…` where a test clip has one next to the plain file.

    Raises:
        UserError: no csv, a column or cell missing in one, a duplicate row, an emotion that no row has.
    """
    files = _search(path)
    utterances: list[Utterance] = []
    notes: list[str] = [] if len(files.tables) == len(MELD_SPLITS) else [_missing_tables(files)]
    for split, table in files.tables.items():
        rows, table_notes = read_table(table, _COLUMNS)
        clips = _Clips(files.root, split, files.clips.get(split, ()), prefer_recuts and split == "test")
        of_split = [clips.utterance(cells) for cells in _unique(table, rows)]
        utterances += of_split
        notes += [*table_notes, *clips.notes(of_split)]
    if group := Counter(u.speaker for u in utterances if _SEVERAL.search(u.speaker)):
        notes.append(
            f"utterances by several speakers at once, so of unknown speaker: {group.total()} ({abbreviated(group)})"
        )
        utterances = [_without_group(utterance) for utterance in utterances]
    return keep_emotions(utterances, emotions, where=str(files.root), root=files.root, notes=tuple(notes))


def _search(path: Path) -> MeldFiles:
    tables: dict[str, Path] = {}
    clips: dict[str, list[ClipFolder]] = {}
    for folder in folders_below(path, 3):
        names = files_in(folder)
        for split in MELD_SPLITS:
            if f"{split}_sent_emo.csv" in names:
                tables.setdefault(split, folder / f"{split}_sent_emo.csv")
        if any(_CLIP.match(name) for name in names) and (split_of_folder := _split_of(folder.relative_to(path))):
            clips.setdefault(split_of_folder, []).append(ClipFolder(folder, names))
    if not tables:
        raise UserError(
            "no MELD here: no train_sent_emo.csv, dev_sent_emo.csv or test_sent_emo.csv", where=str(path),
            expected="MELD.Raw, unpacked",
            fix="unpack train.tar.gz, dev.tar.gz and test.tar.gz; the first contains a csv",
        )  # fmt: skip
    for split, folders in clips.items():
        folders.sort(key=lambda folder: folder.path.name != ARCHIVE_FOLDERS[split])  # stable: then the nearest first
    return MeldFiles(path, {split: tables[split] for split in MELD_SPLITS if split in tables}, clips)


def _split_of(folder: Path) -> str | None:
    """The split in the name of a clip folder (relative to the root), or else in that of a folder around it."""
    for name in reversed(folder.parts):
        named = {split for split in MELD_SPLITS if re.search(rf"(?<![a-z]){split}(?![a-z])|^{split}", name.lower())}
        if len(named) == 1:
            return named.pop()
    return None


def _unique(table: Path, rows: Iterator[tuple[int, tuple[str, ...]]]) -> Iterator[tuple[str, ...]]:
    lines: dict[str, int] = {}
    for line, cells in rows:
        require_unique(lines, f"{cells[2]}/{cells[3]}", line, table, "Dialogue_ID/Utterance_ID")
        yield cells


class _Clips:
    """The clips of one split, by dialogue and utterance number."""

    def __init__(self, root: Path, split: str, folders: Sequence[ClipFolder], recuts: bool) -> None:
        self.root, self.split, self.folders = root, split, folders
        self.prefixes = (RECUT, "") if recuts else ("", RECUT)
        self.default_folder = folders[0].path if folders else root / ARCHIVE_FOLDERS[split]

    def utterance(self, cells: Sequence[str]) -> Utterance:
        speaker, emotion, dialogue, number = cells
        stem = f"dia{dialogue}_utt{number}"
        return Utterance(f"{self.split}_{stem}", speaker, emotion.lower(), self.split, self._path(stem))

    def _path(self, stem: str) -> Path:
        """The preferred file of this stem; where none exists, the one that the archive should have."""
        for prefix in self.prefixes:
            for suffix in CLIP_SUFFIXES:
                name = f"{prefix}{stem}{suffix}"
                for folder in self.folders:
                    if name in folder.files:
                        return folder.path / name
        return self.default_folder / f"{stem}.mp4"

    def notes(self, listed: Sequence[Utterance]) -> Iterator[str]:
        """Notes for the user on how the split's clips were located."""
        if not self.folders:
            yield f"{self.split}: no folder of clips found (the archive's is {ARCHIVE_FOLDERS[self.split]})"
            return
        if len(self.folders) > 1:
            places = [str(folder.path.relative_to(self.root)) for folder in self.folders]
            yield f"{self.split}: clips in {len(places)} folders, the first wins: {', '.join(places)}"
        if recuts := sum(utterance.path.name.startswith(RECUT) for utterance in listed):
            yield f"{self.split}: clips taken from a re-cut {RECUT}*: {recuts}"
        stems = {match["stem"] for folder in self.folders for name in folder.files if (match := _CLIP.match(name))}
        if unlisted := stems - {utterance.id.removeprefix(f"{self.split}_") for utterance in listed}:
            yield f"{self.split}: clips without a row in the csv, ignored: {len(unlisted)} ({abbreviated(unlisted)})"


def _without_group(utterance: Utterance) -> Utterance:
    """Without the speaker, where the name names several people."""
    u = utterance
    return Utterance(u.id, "", u.emotion, u.split, u.path) if _SEVERAL.search(u.speaker) else u


def _missing_tables(files: MeldFiles) -> str:
    missing = [f"{split}_sent_emo.csv" for split in MELD_SPLITS if split not in files.tables]
    return f"{', '.join(missing)} not found: that split is left out (the train csv is inside train.tar.gz)"


# Counted in the authors' csv files.
_PUBLISHED = PublishedCounts(
    "the authors' csv files",
    {
        "train": {"anger": 1109, "joy": 1743, "neutral": 4710, "sadness": 683, "surprise": 1205, "disgust": 271,
                  "fear": 268},
        "dev": {"anger": 153, "joy": 163, "neutral": 470, "sadness": 111, "surprise": 150, "disgust": 22, "fear": 40},
        "test": {"anger": 345, "joy": 402, "neutral": 1256, "sadness": 208, "surprise": 281, "disgust": 68, "fear": 50},
    },
)  # fmt: skip


def _load(spec: MeldCorpus) -> LoadedCorpus:
    return read_meld(spec.path, spec.emotions, prefer_recuts=spec.prefer_recuts)


MELD = CorpusLoader(
    spec=MeldCorpus,
    load=lambda spec, options: _load(spec),
    count_labels=lambda spec: count_by_split(_load(spec)),
    published=_PUBLISHED,
)

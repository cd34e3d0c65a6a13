"""A folder in Hugging Face's `audiofolder` layout: metadata tables beside the audio, or one folder per label.

Looks at no audio file. An id is the file's path inside the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from esn_dist.corpora.folders import files_in, folders_below, shown
from esn_dist.corpora.table import Columns, once, read_table
from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions
from esn_dist.errors import UserError

SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".mp4", ".ogg", ".opus", ".aiff", ".aif", ".aac", ".webm"})
TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
SPLITS |= {"evaluation": "test", "validation": "validation", "valid": "validation", "val": "validation"}
SPLITS |= {"dev": "validation"}
"""Folder names that mean a split, as the library reads them."""

DEPTH = 8


def read_audiofolder(
    path: Path,
    emotions: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Listing:
    """The utterances that the metadata tables list, or else every audio file below `path`, by path.

    Args:
        path: the folder; a folder at its top named train, validation or test (or an alias) is a split.
        columns: what the tables call ours; by default `file_name`, `emotion`, and optionally `speaker`, `split`.
        labels: the folder's labels → emotions; a label that is not in it stands for itself.

    Raises:
        UserError: no audio there, a column or cell missing in a table, a file listed twice, an emotion nobody has.
    """
    files = {folder: files_in(folder) for folder in folders_below(path, DEPTH)}
    tables = [folder / name for folder, names in files.items() for name in TABLES if name in names]
    audio = [folder / name for folder, names in files.items() for name in sorted(names) if _is_audio(name)]
    notes: list[str] = []
    if tables:
        listed = list(_from_tables(path, tables, columns or {}, notes))
        if spare := set(audio) - {utterance.path for utterance in listed}:
            names = shown(_inside(path, file) for file in spare)
            notes.append(f"audio files in no metadata table, passed over: {len(spare):,} ({names})")
    else:
        listed = [_from_folder(path, file) for file in audio]
    if not listed:
        raise UserError("no audio here", where=str(path), expected=f"{', '.join(TABLES)}, or LABEL/FILE.wav")
    named = (_renamed(utterance, labels or {}) for utterance in listed)
    return keep_emotions(named, emotions, where=str(path), root=path, notes=tuple(notes))


def _from_tables(
    path: Path, tables: Sequence[Path], columns: Mapping[str, str], notes: list[str]
) -> Iterator[Utterance]:
    naming = {"path": "file_name", **columns}
    wanted = Columns(("path", "emotion"), ("id", "speaker", "split"), naming)
    lines: dict[str, int] = {}
    for table in tables:
        rows, said = read_table(table, wanted)
        notes += said
        for line, (name, emotion, id, speaker, split) in rows:
            file = table.parent / name
            once(lines, id or _inside(path, file), line, table, "id" if id else "file_name")
            yield Utterance(id or _inside(path, file), speaker, emotion, split or _split(path, file), file)


def _from_folder(path: Path, file: Path) -> Utterance:
    parent = file.parent
    label = "" if parent == path else parent.name
    return Utterance(_inside(path, file), "", label or "no label", _split(path, file), file)


def _split(path: Path, file: Path) -> str:
    top, _, rest = _inside(path, file).partition("/")
    return SPLITS.get(top.lower(), "") if rest else ""


def _inside(path: Path, file: Path) -> str:
    return (file.relative_to(path) if file.is_relative_to(path) else file).as_posix()


def _is_audio(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _renamed(utterance: Utterance, labels: Mapping[str, str]) -> Utterance:
    u = utterance
    return Utterance(u.id, u.speaker, labels.get(u.emotion, u.emotion), u.split, u.path)

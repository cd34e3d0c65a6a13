"""A folder in Hugging Face's `audiofolder` layout: metadata tables next to the audio, or one folder per label.

Opens no audio file. An id is the file's path inside the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from esn_dist.corpora.folders import abbreviated, files_in, folders_below
from esn_dist.corpora.loader import NEEDS_A_SCAN, CorpusLoader
from esn_dist.corpora.table import Columns, read_table, require_unique
from esn_dist.corpora.table_spec import TableCorpus
from esn_dist.corpora.utterance import LoadedCorpus, Utterance, keep_emotions
from esn_dist.errors import UserError
from esn_dist.sweep.base_spec import identity, runtime

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".mp4", ".ogg", ".opus", ".aiff", ".aif", ".aac", ".webm"})
METADATA_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLIT_ALIASES = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
SPLIT_ALIASES |= {"evaluation": "test", "validation": "validation", "valid": "validation", "val": "validation"}
SPLIT_ALIASES |= {"dev": "validation"}
"""Folder names that mean a split, as the library reads them."""

DEPTH = 8


class AudioFolderCorpus(TableCorpus):
    """A folder in Hugging Face's `audiofolder` layout: metadata.csv, .jsonl or .parquet, or one folder per label."""

    type: Literal["audiofolder"] = identity()
    path: Path = runtime(description="its folder, relative to this file")


def read_audiofolder(
    path: Path,
    emotions: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> LoadedCorpus:
    """The utterances of the metadata tables; without tables, every audio file below `path`, by path.

    Args:
        path: the folder; a top-level folder named train, validation or test (or an alias) is a split.
        columns: our column → the table's name; by default `file_name`, `emotion`, optionally `id`, `speaker`, `split`.
        labels: the folder's label → emotion; other labels stay as they are.

    Raises:
        UserError: no audio, a column or cell missing in a table, a duplicate file, an emotion without utterances.
    """
    files = {folder: files_in(folder) for folder in folders_below(path, DEPTH)}
    tables = [folder / name for folder, names in files.items() for name in METADATA_TABLES if name in names]
    audio = [folder / name for folder, names in files.items() for name in sorted(names) if _is_audio(name)]
    notes: list[str] = []
    if tables:
        listed = list(_from_tables(path, tables, columns or {}, notes))
        if unlisted := set(audio) - {utterance.path for utterance in listed}:
            names = abbreviated(_inside(path, file) for file in unlisted)
            notes.append(f"audio files in no metadata table, ignored: {len(unlisted):,} ({names})")
    else:
        listed = [_from_folder(path, file) for file in audio]
    if not listed:
        raise UserError("no audio here", where=str(path), expected=f"{', '.join(METADATA_TABLES)}, or LABEL/FILE.wav")
    mapped = (_with_emotion(utterance, labels or {}) for utterance in listed)
    return keep_emotions(mapped, emotions, where=str(path), root=path, notes=tuple(notes))


def _from_tables(
    path: Path, tables: Sequence[Path], columns: Mapping[str, str], notes: list[str]
) -> Iterator[Utterance]:
    naming = {"path": "file_name", **columns}
    wanted = Columns(("path", "emotion"), ("id", "speaker", "split"), naming)
    lines: dict[str, int] = {}
    for table in tables:
        rows, table_notes = read_table(table, wanted)
        notes += table_notes
        for line, (name, emotion, id, speaker, split) in rows:
            file = table.parent / name
            require_unique(lines, id or _inside(path, file), line, table, "id" if id else "file_name")
            yield Utterance(id or _inside(path, file), speaker, emotion, split or _split(path, file), file)


def _from_folder(path: Path, file: Path) -> Utterance:
    parent = file.parent
    label = "" if parent == path else parent.name
    return Utterance(_inside(path, file), "", label or "no label", _split(path, file), file)


def _split(path: Path, file: Path) -> str:
    top, _, rest = _inside(path, file).partition("/")
    return SPLIT_ALIASES.get(top.lower(), "") if rest else ""


def _inside(path: Path, file: Path) -> str:
    return (file.relative_to(path) if file.is_relative_to(path) else file).as_posix()


def _is_audio(name: str) -> bool:
    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def _with_emotion(utterance: Utterance, labels: Mapping[str, str]) -> Utterance:
    u = utterance
    return Utterance(u.id, u.speaker, labels.get(u.emotion, u.emotion), u.split, u.path)


AUDIOFOLDER = CorpusLoader(
    spec=AudioFolderCorpus,
    load=lambda spec, options: read_audiofolder(spec.path, spec.emotions, columns=spec.columns, labels=spec.labels),
    no_count_reason=NEEDS_A_SCAN,
)

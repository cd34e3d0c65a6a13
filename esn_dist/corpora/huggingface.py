"""A Hugging Face dataset on disk whose Parquet files hold the audio itself, unpacked once into the sweep's cache.

Nothing is written beside the dataset, and nothing is fetched. An id is the split and the row's number, unless the
dataset has a column of ids.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esn_dist.corpora.audiofolder import SPLITS
from esn_dist.corpora.folders import files_in, folders_below
from esn_dist.corpora.parquet import open_parquet
from esn_dist.corpora.table import Columns, as_text, once
from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions
from esn_dist.errors import UserError
from esn_dist.seeds import digest

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_COLUMNS = ("path", "emotion"), ("id", "speaker", "split")
_SHARD = re.compile(r"^(?P<split>\w+?)(-\d{5}-of-\d{5}.*)?\.parquet$")


def read_huggingface(
    path: Path,
    cache: Path,
    emotions: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Listing:
    """The utterances of every Parquet file below `path`, by file and row.

    Args:
        cache: where the audio is unpacked, each clip once.
        columns: what the dataset calls ours; by default `audio` and `emotion`, and optionally `id`, `speaker`, `split`.
        labels: the dataset's labels → emotions. Numbers with names (`ClassLabel`) are their names.

    Raises:
        UserError: no Parquet there, a column or cell missing, an id twice, an emotion nobody has.
    """
    shards = [
        folder / name
        for folder in folders_below(path, 3)
        for name in sorted(files_in(folder))
        if name.endswith(".parquet")
    ]
    if not shards:
        raise UserError("no Parquet file here", where=str(path), expected="data/train-00000-of-00001.parquet or alike")
    wanted = Columns(*_COLUMNS, {"path": "audio", **(columns or {})})
    store = _Unpacked(cache / "audio" / digest(str(path.resolve()))[:16])
    found: list[Utterance] = []
    lines: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for shard in shards:
        split = _split(shard)
        for row, (audio, emotion, id, speaker, given) in _rows(shard, wanted):
            numbers[split] = numbers.get(split, -1) + 1
            name = id or f"{split or 'row'}-{numbers[split]:07}"
            once(lines, name, row, shard, "id")
            meant = (labels or {}).get(emotion, emotion)
            found.append(Utterance(name, speaker, meant, given or split, store.path(name, audio, path)))
    return keep_emotions(found, emotions, where=str(path), root=store.folder)


def _split(shard: Path) -> str:
    """The split that a shard's name speaks of, or the folder's it lies in."""
    named = _SHARD.match(shard.name)
    stem = named["split"] if named else ""
    return SPLITS.get(stem.lower()) or SPLITS.get(shard.parent.name.lower()) or stem


def _rows(shard: Path, columns: Columns) -> Iterator[tuple[int, tuple[Any, str, str, str, str]]]:
    file = open_parquet(shard)
    found = file.schema_arrow.names
    for column in columns.demanded:
        if column not in found:
            raise columns.lacking(str(shard), column, found)
    names = {column: _class_names(file, column) for column in columns.wanted}
    read = [column for column in columns.wanted if column in found]
    row = 0
    for batch in file.iter_batches(batch_size=64, columns=read):
        for cells in batch.to_pylist():
            row += 1
            audio, *rest = columns.wanted
            emotion, id, speaker, split = (_cell(cells.get(c), names[c], shard, row, c) for c in rest)
            yield row, (cells[audio], emotion or "no label", id, speaker, split)


def _cell(value: Any, names: Sequence[str], shard: Path, row: int, column: str) -> str:
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return as_text(value, shard, row, column)


def _class_names(file: ParquetFile, column: str) -> Sequence[str]:
    """The names behind a `ClassLabel`'s numbers, which stand in the file's own metadata."""
    said = (file.schema_arrow.metadata or {}).get(b"huggingface")
    feature = json.loads(said).get("info", {}).get("features", {}).get(column, {}) if said else {}
    names: Sequence[str] = feature.get("names", ()) if isinstance(feature, dict) else ()
    return names


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """A folder of clips written out of a dataset; a clip that is there already is not written again."""

    folder: Path

    def path(self, name: str, audio: Any, beside: Path) -> Path:
        """The file of one clip: unpacked where the row holds bytes, else where the row says, told from the dataset."""
        if not isinstance(audio, dict) or not audio.get("bytes"):
            place = audio.get("path") if isinstance(audio, dict) else audio
            return beside / (place or f"{name} (no audio in its row)")
        file = self.folder / f"{digest(name)[:32]}.audio"
        if not file.is_file() or file.stat().st_size != len(audio["bytes"]):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}.partial")
            partial.write_bytes(audio["bytes"])
            partial.replace(file)
        return file

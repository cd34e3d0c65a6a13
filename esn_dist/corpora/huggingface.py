"""A Hugging Face dataset on disk whose Parquet files contain the audio, unpacked once into the sweep's cache.

Nothing is written into the dataset's folder, and nothing is downloaded. An id is the split and the row's number, unless
the dataset has a column of ids.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from esn_dist.corpora.audiofolder import SPLIT_ALIASES
from esn_dist.corpora.folders import files_in, folders_below
from esn_dist.corpora.loader import NEEDS_A_SCAN, CorpusLoader, LoadOptions
from esn_dist.corpora.parquet import open_parquet
from esn_dist.corpora.table import Columns, as_text, require_unique
from esn_dist.corpora.table_spec import TableCorpus
from esn_dist.corpora.utterance import LoadedCorpus, Utterance, keep_emotions
from esn_dist.errors import UserError
from esn_dist.seeds import digest
from esn_dist.sweep.base_spec import identity, runtime

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_COLUMNS = ("path", "emotion"), ("id", "speaker", "split")
_SHARD = re.compile(r"^(?P<split>\w+?)(-\d{5}-of-\d{5}.*)?\.parquet$")


class HuggingFaceCorpus(TableCorpus):
    """A Hugging Face dataset on disk whose Parquet files contain the audio (needs the extra `parquet`)."""

    type: Literal["huggingface"] = identity()
    path: Path = runtime(
        description="its folder, relative to this file: a snapshot of the dataset, e.g. from `hf download`"
    )


def read_huggingface(
    path: Path,
    cache: Path,
    emotions: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> LoadedCorpus:
    """The utterances of every Parquet file below `path`, by file and row.

    Args:
        cache: where the audio is unpacked, each clip once.
        columns: our column → the dataset's name; by default `audio`, `emotion`, optionally `id`, `speaker`, `split`.
        labels: the dataset's label → emotion. Numbers of a `ClassLabel` count as their names.

    Raises:
        UserError: no Parquet there, a column or cell missing, an id twice, an emotion without utterances.
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
    unpacked = _UnpackedClips(cache / "audio" / digest(str(path.resolve()))[:16])
    utterances: list[Utterance] = []
    lines: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for shard in shards:
        split = _split(shard)
        for row, (audio, label, id, speaker, row_split) in _rows(shard, wanted):
            numbers[split] = numbers.get(split, -1) + 1
            name = id or f"{split or 'row'}-{numbers[split]:07}"
            require_unique(lines, name, row, shard, "id")
            emotion = (labels or {}).get(label, label)
            utterances.append(Utterance(name, speaker, emotion, row_split or split, unpacked.path(name, audio, path)))
    return keep_emotions(utterances, emotions, where=str(path), root=unpacked.folder)


def _split(shard: Path) -> str:
    """The split in a shard's name, or else in the name of its folder."""
    match = _SHARD.match(shard.name)
    stem = match["split"] if match else ""
    return SPLIT_ALIASES.get(stem.lower()) or SPLIT_ALIASES.get(shard.parent.name.lower()) or stem


def _rows(shard: Path, columns: Columns) -> Iterator[tuple[int, tuple[Any, str, str, str, str]]]:
    file = open_parquet(shard)
    present = file.schema_arrow.names
    for column in columns.mandatory:
        if column not in present:
            raise columns.missing_column(str(shard), column, present)
    names = {column: _class_names(file, column) for column in columns.wanted}
    read = [column for column in columns.wanted if column in present]
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
    """The names of a `ClassLabel`'s numbers, from the file's own metadata."""
    metadata = (file.schema_arrow.metadata or {}).get(b"huggingface")
    feature = json.loads(metadata).get("info", {}).get("features", {}).get(column, {}) if metadata else {}
    names: Sequence[str] = feature.get("names", ()) if isinstance(feature, dict) else ()
    return names


@dataclass(frozen=True, slots=True)
class _UnpackedClips:
    """A folder of clips that were unpacked from a dataset; an existing clip is not written again."""

    folder: Path

    def path(self, name: str, audio: Any, dataset: Path) -> Path:
        """The file of one clip: unpacked from the bytes in its row, else the row's path, relative to `dataset`."""
        if not isinstance(audio, dict) or not audio.get("bytes"):
            path = audio.get("path") if isinstance(audio, dict) else audio
            return dataset / (path or f"{name} (no audio in its row)")
        file = self.folder / f"{digest(name)[:32]}.audio"
        if not file.is_file() or file.stat().st_size != len(audio["bytes"]):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}.partial")
            partial.write_bytes(audio["bytes"])
            partial.replace(file)
        return file


def _load(spec: HuggingFaceCorpus, options: LoadOptions) -> LoadedCorpus:
    return read_huggingface(spec.path, options.cache, spec.emotions, columns=spec.columns, labels=spec.labels)


HUGGINGFACE = CorpusLoader(spec=HuggingFaceCorpus, load=_load, no_count_reason=NEEDS_A_SCAN)

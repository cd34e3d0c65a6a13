"""A dataset in Parquet is unpacked into the cache once, and its class numbers become their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from esn_dist.corpora import Clip, Limits, probe
from esn_dist.corpora.huggingface import read_huggingface
from esn_dist.errors import UserError
from tests.corpora.miniature.speech import write_wav

EMOTIONS = ("anger", "joy")


def shard(path: Path, rows: list[dict[str, Any]], names: list[str]) -> None:
    """As `datasets` writes it: the names of a ClassLabel are in the schema's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    features = {"audio": {"_type": "Audio"}, "emotion": {"names": names, "_type": "ClassLabel"}}
    table = pyarrow.Table.from_pylist(rows)
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_wav(tmp_path / "a.wav", 8_000)
    data = (tmp_path / "a.wav").read_bytes()
    root = tmp_path / "dataset"
    for number, split in enumerate(("train", "train", "test")):
        rows = [{"audio": {"bytes": data, "path": "a.wav"}, "emotion": n % 3, "speaker": n} for n in range(6)]
        shard(root / f"data/{split}-{number:05}-of-00003.parquet", rows, ["anger", "joy", "fear"])
    (root / "data/._train.parquet").write_bytes(b"\0\5\x16\7")
    return root


def test_rows_have_splits_labels_and_decodable_audio(dataset: Path, tmp_path: Path) -> None:
    corpus = read_huggingface(dataset, tmp_path / "cache", EMOTIONS)
    assert [u.id for u in corpus.utterances][:3] == ["test-0000000", "test-0000001", "test-0000003"]
    assert {(u.split, u.emotion) for u in corpus.utterances} == {(s, e) for s in ("train", "test") for e in EMOTIONS}
    assert len(corpus.utterances) == 12 and len(corpus.exclusions) == 6
    results = [probe(utterance, Limits()) for utterance in corpus.utterances]
    assert all(isinstance(result, Clip) and result.samples == 8_000 for result in results)
    assert all(utterance.path.is_relative_to(tmp_path / "cache") for utterance in corpus.utterances)


def test_clips_are_unpacked_once(dataset: Path, tmp_path: Path) -> None:
    first = read_huggingface(dataset, tmp_path / "cache", EMOTIONS)
    times = {u.path: u.path.stat().st_mtime_ns for u in first.utterances}
    assert read_huggingface(dataset, tmp_path / "cache", EMOTIONS) == first
    assert {u.path: u.path.stat().st_mtime_ns for u in first.utterances} == times


def test_a_row_without_audio_is_a_missing_clip(dataset: Path, tmp_path: Path) -> None:
    shard(dataset / "data/test-00002-of-00003.parquet",
          [{"audio": {"bytes": None, "path": None}, "emotion": 0, "speaker": 1}], ["anger"])  # fmt: skip
    corpus = read_huggingface(dataset, tmp_path / "cache", EMOTIONS)
    result = probe(corpus.utterances[0], Limits())
    assert str(getattr(result, "reason", "")) == "missing"


def test_a_missing_column_and_a_damaged_file_are_errors_of_the_user(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the column 'label' is missing"):
        read_huggingface(dataset, tmp_path, EMOTIONS, columns={"emotion": "label"})
    (dataset / "data/train-00000-of-00003.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UserError, match="not valid Parquet"):
        read_huggingface(dataset, tmp_path, EMOTIONS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no Parquet file here"):
        read_huggingface(tmp_path / "empty", tmp_path, EMOTIONS)

"""Hugging Face's folder layout: metadata in each of its formats, or one folder per label; splits by folder name."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from esn_dist.corpora import Utterance
from esn_dist.corpora.audiofolder import read_audiofolder
from esn_dist.errors import UserError
from tests.corpora.miniature.speech import write_wav

EMOTIONS = ("anger", "joy")
ROWS = [
    {"file_name": "a.wav", "emotion": "joy", "speaker": "s1", "text": "x, y"},
    {"file_name": "sub/ä b.wav", "emotion": "anger", "speaker": "s2", "text": ""},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    for split in ("train", "test"):
        for row in ROWS:
            write_wav(root / split / str(row["file_name"]), 4_800)
    (root / "train" / "._a.wav").write_bytes(bytes(9))
    return root


def metadata(folder: Path, kind: str) -> None:
    for split in ("train", "test"):
        path = folder / split / f"metadata.{kind}"
        match kind:
            case "csv":
                path.write_text('file_name,emotion,speaker,text\na.wav,joy,s1,"x, y"\nsub/ä b.wav,anger,s2,\n')
            case "jsonl":
                path.write_text("\n".join(json.dumps(row) for row in ROWS))
            case "parquet":
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_of_every_format_is_the_same_listing(folder: Path, kind: str) -> None:
    metadata(folder, kind)
    corpus = read_audiofolder(folder, EMOTIONS)
    assert corpus.utterances == tuple(
        Utterance(f"{split}/{name}", speaker, emotion, split, folder / split / name)
        for split in ("test", "train")
        for name, emotion, speaker in (("a.wav", "joy", "s1"), ("sub/ä b.wav", "anger", "s2"))
    )
    assert corpus.notes == ()


def test_other_column_names_and_labels_are_settings(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,label,who\ntrain/a.wav,hap,s1\ntest/a.wav,ang,s2\n")
    corpus = read_audiofolder(
        folder, EMOTIONS, columns={"emotion": "label", "speaker": "who"}, labels={"hap": "joy", "ang": "anger"}
    )
    assert [(u.id, u.emotion, u.speaker, u.split) for u in corpus.utterances] == [
        ("train/a.wav", "joy", "s1", "train"),
        ("test/a.wav", "anger", "s2", "test"),
    ]
    assert corpus.notes[0].startswith("audio files in no metadata table, ignored: 2 (test/sub/ä b.wav, ")
    with pytest.raises(UserError, match="the column 'who2' is missing"):
        read_audiofolder(folder, EMOTIONS, columns={"emotion": "label", "speaker": "who2"})


def test_without_metadata_the_folder_is_the_label(tmp_path: Path) -> None:
    for name in ("validation/joy/1.wav", "dev/anger/1.wav", "training/anger/1.wav", "loose.wav"):
        write_wav(tmp_path / name, 4_800)
    corpus = read_audiofolder(tmp_path, EMOTIONS)
    assert {(u.id, u.emotion, u.split) for u in corpus.utterances} == {
        ("validation/joy/1.wav", "joy", "validation"),
        ("dev/anger/1.wav", "anger", "validation"),
        ("training/anger/1.wav", "anger", "train"),
    }
    assert [(item.id, item.emotion) for item in corpus.exclusions] == [("loose.wav", "no label")]


def test_a_file_twice_and_an_empty_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,emotion\ntrain/a.wav,joy\ntrain/a.wav,anger\n")
    with pytest.raises(UserError, match=r":3.*'train/a\.wav' is on line 2"):
        read_audiofolder(folder, EMOTIONS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no audio here"):
        read_audiofolder(tmp_path / "empty", EMOTIONS)

"""A manifest is read as people's tools write it, and each mistake in it is named with its file, line and column."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from esn_dist.corpora import Reason, SetAside, Utterance, read_manifest
from esn_dist.errors import UserError

GOOD = "id,path,emotion,speaker,split\nu1,a.wav,joy,s1,dev\nu2,b.wav,anger,s2,test\n"
EMOTIONS = ("anger", "joy")


def written(folder: Path, content: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def problem(path: Path, emotions: tuple[str, ...] = EMOTIONS) -> str:
    with pytest.raises(UserError) as caught:
        read_manifest(path, emotions)
    return str(caught.value)


def test_rows_keep_their_order_and_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    listing = read_manifest(written(tmp_path, GOOD), EMOTIONS)
    assert listing.utterances == (
        Utterance("u1", "s1", "joy", "dev", tmp_path / "a.wav"),
        Utterance("u2", "s2", "anger", "test", tmp_path / "b.wav"),
    )
    assert (listing.set_aside, listing.notes) == ((), ())


def test_csv_and_jsonl_of_the_same_rows_are_the_same_listing(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "path": "a b/é.wav", "emotion": "joy", "speaker": None, "text": "x\u2028y", "n": [1]},
        {"id": "2", "path": "/abs/c.wav", "emotion": "anger", "split": "dev"},
    ]
    lines = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    table = 'emotion,id,split,path,text\njoy,1,,a b/é.wav,"x, ""y""\nz"\nanger,2,dev,/abs/c.wav,\n'
    from_jsonl = read_manifest(written(tmp_path, lines, "m.jsonl"), EMOTIONS)
    assert from_jsonl == read_manifest(written(tmp_path, table), EMOTIONS)
    assert [item.path for item in from_jsonl.utterances] == [tmp_path / "a b/é.wav", Path("/abs/c.wav")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_blank_lines_and_a_byte_order_mark_change_nothing(tmp_path: Path, end: str, mark: bytes) -> None:
    content = mark + (GOOD + "\n").replace("\n", end).encode()
    plain = read_manifest(written(tmp_path, GOOD), EMOTIONS)
    assert read_manifest(written(tmp_path, content), EMOTIONS) == plain


def test_a_spreadsheets_cp1252_is_read_and_said(tmp_path: Path) -> None:
    content = "id,path,emotion,speaker\nu1,a.wav,joy,Richard’s Date\nu2,b.wav,anger,é\n".encode("cp1252")
    listing = read_manifest(written(tmp_path, content), EMOTIONS)
    assert [item.speaker for item in listing.utterances] == ["Richard’s Date", "é"]
    assert listing.notes == ("m.csv is not UTF-8: read as cp1252",)


def test_other_labels_are_set_aside_and_counted(tmp_path: Path) -> None:
    listing = read_manifest(written(tmp_path, GOOD + "u3,c.wav,disgust,s3,dev\n"), EMOTIONS)
    assert [item.id for item in listing.utterances] == ["u1", "u2"]
    assert listing.set_aside == (SetAside("u3", "disgust", Reason.LABEL_EXCLUDED, "labelled 'disgust'"),)


def test_na_is_a_label_and_not_a_missing_value(tmp_path: Path) -> None:
    listing = read_manifest(written(tmp_path, "id,path,emotion\nNA,nan,N\n"), ("N",))
    assert listing.utterances == (Utterance("NA", "", "N", "", tmp_path / "nan"),)


def test_an_emotion_without_a_row_is_named_with_the_nearest_label(tmp_path: Path) -> None:
    message = problem(written(tmp_path, GOOD), ("anger", "joy", "angre"))
    assert "m.csv" in message
    assert "'angre'" in message
    assert "Did you mean 'anger'?" in message


@pytest.mark.parametrize(
    ("content", "name", "parts"),
    [
        (GOOD + "u1,c.wav,joy,s,dev\n", "m.csv", [":4, column 'id'", "'u1'", "line 2"]),
        (GOOD + "u3,c.wav,joy\n", "m.csv", [":4", "3 cells, the header 5"]),
        (GOOD + "u3,,joy,s,dev\n", "m.csv", [":4, column 'path'", "empty"]),
        (GOOD + "u3,c.wav, ,s,dev\n", "m.csv", [":4, column 'emotion'", "empty"]),
        (GOOD + 'u3,"c.wav,joy,s,dev\n', "m.csv", [":4", "not valid CSV"]),
        ("id,path,emotoin\n", "m.csv", [":1", "'emotion' is missing", "Did you mean 'emotoin'?"]),
        ("id;path;emotion\n", "m.csv", [":1", "'id' is missing", "separated by commas"]),
        ("id,path,emotion,id\n", "m.csv", [":1", "'id' stands twice"]),
        ("", "m.csv", [":1", "found nothing"]),
        ('{"id": "u1", "path": "a", "emotion": "joy"}\n{"id"', "m.jsonl", [":2, column 6", "not valid JSON"]),
        ("[1]", "m.jsonl", [":1", "not an object"]),
        ('{"id": "u1", "Path": "a", "emotion": "joy"}', "m.jsonl", [":1", "'path' is missing", "Did you mean 'Path'?"]),
        ('{"id": true, "path": "a", "emotion": "joy"}', "m.jsonl", [":1, column 'id'", "true is not a text"]),
        ('{"id": "u1", "path": null, "emotion": "joy"}', "m.jsonl", [":1, column 'path'", "empty"]),
        (GOOD, "m.xlsx", ["m.xlsx", ".csv or .jsonl"]),
        (GOOD.encode("utf-16"), "m.csv", ["m.csv", "not text", "UTF-8"]),
        (b"id,\x81", "m.csv", ["m.csv", "not text"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, content: str | bytes, name: str, parts: list[str]) -> None:
    message = problem(written(tmp_path, content, name))
    for part in (name, *parts):
        assert part in message


def test_a_manifest_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    assert "cannot read the file" in problem(tmp_path / "no.csv")


def test_a_hundred_thousand_rows_are_indexed_in_seconds(tmp_path: Path) -> None:
    rows = "".join(f"u{i},clips/{i}.wav,{EMOTIONS[i % 2]},s{i % 99},train\n" for i in range(100_000))
    path = written(tmp_path, "id,path,emotion,speaker,split\n" + rows)
    before = time.process_time()
    assert len(read_manifest(path, EMOTIONS).utterances) == 100_000
    assert time.process_time() - before < 4, "it takes about one second; a quadratic step would take minutes"

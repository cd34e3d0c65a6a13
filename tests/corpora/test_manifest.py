"""A manifest is read as people's tools write it, and each mistake in it is named with its file, line and column."""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.corpora import Exclusion, Reason, Utterance, read_manifest
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
    corpus = read_manifest(written(tmp_path, GOOD), EMOTIONS)
    assert corpus.utterances == (
        Utterance("u1", "s1", "joy", "dev", tmp_path / "a.wav"),
        Utterance("u2", "s2", "anger", "test", tmp_path / "b.wav"),
    )
    assert (corpus.exclusions, corpus.notes) == ((), ())


def test_csv_and_jsonl_of_the_same_rows_are_the_same_corpus(tmp_path: Path) -> None:
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


def test_a_spreadsheet_s_cp1252_is_read_and_noted(tmp_path: Path) -> None:
    content = "id,path,emotion,speaker\nu1,a.wav,joy,Richard’s Date\nu2,b.wav,anger,é\n".encode("cp1252")
    corpus = read_manifest(written(tmp_path, content), EMOTIONS)
    assert [item.speaker for item in corpus.utterances] == ["Richard’s Date", "é"]
    assert corpus.notes == ("m.csv is not UTF-8: read as cp1252",)


def test_other_labels_are_excluded_with_their_reason(tmp_path: Path) -> None:
    corpus = read_manifest(written(tmp_path, GOOD + "u3,c.wav,disgust,s3,dev\n"), EMOTIONS)
    assert [item.id for item in corpus.utterances] == ["u1", "u2"]
    assert corpus.exclusions == (Exclusion("u3", "disgust", Reason.LABEL_EXCLUDED, "labelled 'disgust'"),)


def test_na_is_a_label_and_not_a_missing_value(tmp_path: Path) -> None:
    corpus = read_manifest(written(tmp_path, "id,path,emotion\nNA,nan,N\n"), ("N",))
    assert corpus.utterances == (Utterance("NA", "", "N", "", tmp_path / "nan"),)


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
        ("id,path,emotion,id\n", "m.csv", [":1", "'id' appears twice"]),
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


def test_a_hundred_thousand_rows_are_indexed_in_seconds(tmp_path: Path) -> None:
    rows = "".join(f"u{i},clips/{i}.wav,{EMOTIONS[i % 2]},s{i % 99},train\n" for i in range(100_000))
    path = written(tmp_path, "id,path,emotion,speaker,split\n" + rows)
    before = time.process_time()
    assert len(read_manifest(path, EMOTIONS).utterances) == 100_000
    assert time.process_time() - before < 4, "it takes about one second; a quadratic step would take minutes"


def test_parquet_is_the_same_corpus_with_no_word_taken_for_a_missing_value(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "path": "a b/é.wav", "emotion": "joy", "speaker": None, "score": 0.5},
        {"id": 2, "path": "/abs/NA.wav", "emotion": "anger", "speaker": "NA", "score": None},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "m.parquet")
    table = "id,path,emotion,speaker\n1,a b/é.wav,joy,\n2,/abs/NA.wav,anger,NA\n"
    assert read_manifest(tmp_path / "m.parquet", EMOTIONS) == read_manifest(written(tmp_path, table), EMOTIONS)


def test_mistakes_in_parquet_are_named_with_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    good = {"id": "u1", "path": "a.wav", "emotion": "joy"}
    for rows, expected in (
        ([good, good], [":2, column 'id'", "'u1'", "line 1"]),
        ([{**good, "path": None}], [":1, column 'path'", "empty"]),
        ([{**good, "id": 0.5}], [":1, column 'id'", "0.5 is not a text"]),
        ([{"id": "u1", "Path": "a", "emotion": "joy"}], ["'path' is missing", "Did you mean 'Path'?"]),
    ):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        message = problem(path)
        for part in ("m.parquet", *expected):
            assert part in message
    path.write_bytes(b"no parquet")
    assert "not valid Parquet" in problem(path)


def test_without_pyarrow_the_error_for_parquet_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"id": ["u1"]}), tmp_path / "m.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "esn-dist[parquet]" in problem(tmp_path / "m.parquet")


def test_names_of_columns_and_labels_are_settings(tmp_path: Path) -> None:
    table = "file,label,who,split\na.wav,hap,s1,x\nb.wav,exc,s2,x\nc.wav,ang,s3,x\nd.wav,boredom,s4,x\n"
    corpus = read_manifest(
        written(tmp_path, table),
        EMOTIONS,
        columns={"id": "file", "path": "file", "emotion": "label", "speaker": "who"},
        labels={"hap": "joy", "exc": "joy", "ang": "anger"},
    )
    assert [(u.id, u.emotion, u.speaker) for u in corpus.utterances] == [
        ("a.wav", "joy", "s1"),
        ("b.wav", "joy", "s2"),
        ("c.wav", "anger", "s3"),
    ]
    assert [item.emotion for item in corpus.exclusions] == ["boredom"]
    with pytest.raises(UserError, match=r"labels: \{happy: joy\}"):
        read_manifest(written(tmp_path, GOOD.replace("joy", "happy")), EMOTIONS)


@given(
    cells=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)] * 3),
        min_size=1,
        max_size=8,
    )
)
def test_csv_jsonl_and_parquet_read_any_text_alike(
    cells: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [
        {"id": f"u{number}", "path": f"p{a}", "emotion": "joy", "speaker": b, "split": c}
        for number, (a, b, c) in enumerate(cells)
    ]
    with (folder / "m.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "m.parquet")
    from_csv, from_jsonl, from_parquet = (
        read_manifest(folder / f"m.{kind}", ("joy",)) for kind in ("csv", "jsonl", "parquet")
    )
    assert from_csv == from_jsonl == from_parquet

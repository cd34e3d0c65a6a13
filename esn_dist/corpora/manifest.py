"""Anyone's own corpus: a CSV or JSONL table of utterances, read strictly and fast, every mistake named with its line.

Looks at no audio file: a path that leads nowhere is found by the scan. Paths are relative to the manifest's folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from esn_dist.corpora.utterance import Listing, Utterance, keep_emotions
from esn_dist.errors import UserError, did_you_mean

REQUIRED = ("id", "path", "emotion")
OPTIONAL = ("speaker", "split")

Row = tuple[int, Mapping[str, str]]
"""Line number (from 1) and the row's cells by column, blanks trimmed."""


def read_manifest(path: Path, emotions: Sequence[str]) -> Listing:
    """The utterances of a `.csv` or `.jsonl` manifest in its own order; labels outside `emotions` are set aside.

    Columns `id`, `path`, `emotion`; optionally `speaker`, `split` ("" where absent); others are ignored.

    Raises:
        UserError: no such file, not text, a column or cell missing, a duplicate id, an emotion that no row has.
    """
    rows = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix.lower())
    if rows is None:
        raise UserError(f"a manifest cannot be a {path.suffix!r} file", where=str(path), expected=".csv or .jsonl")
    text, encoding = _text(path)
    utterances: dict[str, Utterance] = {}
    lines: dict[str, int] = {}
    for line, cells in rows(path, text):
        name = cells["id"]
        if name in lines:
            raise UserError(
                f"the id {name!r} stands on line {lines[name]} too",
                where=f"{path}:{line}, column 'id'",
                expected="each id once",
            )
        lines[name] = line
        utterances[name] = Utterance(
            id=name,
            speaker=cells.get("speaker", ""),
            emotion=cells["emotion"],
            split=cells.get("split", ""),
            path=path.parent / cells["path"],
        )
    notes = () if encoding == "utf-8-sig" else (f"{path.name} is not UTF-8: read as {encoding}",)
    return keep_emotions(utterances.values(), emotions, where=str(path), notes=notes)


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(path, header)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(
                    f"the row has {len(row)} cells, the header {len(header)}",
                    where=f"{path}:{reader.line_num}",
                    expected=f"one cell for each of {', '.join(header)}",
                    fix='put cells that hold a comma or a quote between double quotes: "a, b"',
                )
            cells = {column: cell.strip() for column, cell in zip(header, row, strict=True)}
            _check_cells(path, reader.line_num, cells)
            yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"not valid CSV: {error}", where=f"{path}:{reader.line_num}") from None


def _jsonl_rows(path: Path, text: str) -> Iterator[Row]:
    # Only "\n" ends a line: str.splitlines would also cut at characters that JSON allows inside a string.
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        try:
            row = json.loads(source)
        except json.JSONDecodeError as error:
            raise UserError(f"not valid JSON: {error.msg}", where=f"{path}:{line}, column {error.colno}") from None
        if not isinstance(row, dict):
            raise UserError("the line is not an object", where=f"{path}:{line}", expected='{"id": ..., "path": ...}')
        cells = {
            column: _as_text(path, line, column, row[column]) for column in (*REQUIRED, *OPTIONAL) if column in row
        }
        for column in REQUIRED:
            if column not in cells:
                raise _no_column(f"{path}:{line}", column, row)
        _check_cells(path, line, cells)
        yield line, cells


def _as_text(path: Path, line: int, column: str, value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UserError(
        f"{json.dumps(value)[:40]} is not a text",
        where=f"{path}:{line}, column {column!r}",
        expected="a string or a whole number",
    )


def _check_header(path: Path, header: Sequence[str]) -> None:
    for column in REQUIRED:
        if column not in header:
            raise _no_column(f"{path}:1", column, header)
    for column in (*REQUIRED, *OPTIONAL):
        if header.count(column) > 1:
            raise UserError(f"the column {column!r} stands twice", where=f"{path}:1", expected="each column once")


def _no_column(where: str, column: str, found: Mapping[str, object] | Sequence[str]) -> UserError:
    return UserError(
        f"the column {column!r} is missing; found {', '.join(map(repr, found)) or 'nothing'}."
        + did_you_mean(column, found),
        where=where,
        expected=f"{', '.join(REQUIRED)}, and optionally {', '.join(OPTIONAL)}, separated by commas",
    )


def _check_cells(path: Path, line: int, cells: Mapping[str, str]) -> None:
    for column in REQUIRED:
        if not cells[column]:
            raise UserError("the cell is empty", where=f"{path}:{line}, column {column!r}")


def _text(path: Path) -> tuple[str, str]:
    """The file's text and the encoding it took: UTF-8 with or without a byte-order mark, else cp1252."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the manifest: {error.strerror}", where=str(path)) from None
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding
    raise UserError("the manifest is not text", where=str(path), expected="UTF-8 (or cp1252)", fix="save it as UTF-8")

"""Reads tables (CSV, JSONL, Parquet) strictly and fast; an error names the line of the mistake.

Every cell is text with blanks trimmed: no word is taken for a missing value. Does not know what the cells mean.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from esn_dist.errors import UserError, did_you_mean

TableRow = tuple[int, tuple[str, ...]]
"""Line number (from 1; in Parquet the row number) and the cells of `Columns.wanted`, in that order."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table are read; all others are ignored.

    Attributes:
        required: columns that the table must have, with no empty cell, except those in `blank`.
        optional: columns whose cells are "" where the table has no such column.
        named: our name → the table's name, where they differ; the table must have a column named here.
        blank: required columns whose cells may be empty.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    blank: frozenset[str] = frozenset()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns of a row, by the table's names."""
        return tuple(self.named.get(column, column) for column in (*self.required, *self.optional))

    @property
    def mandatory(self) -> tuple[str, ...]:
        """The table's names of the columns that it must have."""
        optional = tuple(self.named[column] for column in self.optional if column in self.named)
        return (*self.wanted[: len(self.required)], *optional)

    @property
    def filled(self) -> tuple[tuple[int, str], ...]:
        """Position and table's name of the columns whose cells must not be empty."""
        wanted = self.wanted
        return tuple((i, wanted[i]) for i, column in enumerate(self.required) if column not in self.blank)

    def missing_column(self, where: str, column: str, present: Mapping[str, object] | Sequence[str]) -> UserError:
        """The error for a `column` that is not among those `present`."""
        optional = self.wanted[len(self.required) :]
        return UserError(
            f"the column {column!r} is missing; found {', '.join(map(repr, present)) or 'nothing'}."
            + did_you_mean(column, present),
            where=where,
            expected=", ".join(self.wanted[: len(self.required)])
            + (f", and optionally {', '.join(optional)}" if optional else "")
            + ", separated by commas",
        )


def read_table(path: Path, columns: Columns) -> tuple[Iterator[TableRow], tuple[str, ...]]:
    """The rows of a `.csv`, `.jsonl` or `.parquet` file, and notes on how it was decoded.

    Raises:
        UserError: no such file, not text, a column or cell missing. Errors of a row come while the rows are consumed.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _checked(path, columns, _parquet_rows(path, columns)), ()
    reader: Callable[[Path, str, Columns], Iterator[TableRow]] | None
    reader = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(suffix)
    if reader is None:
        raise UserError(f"a table cannot be a {suffix!r} file", where=str(path), expected=".csv or .jsonl or .parquet")
    text, encoding = read_text(path)
    notes = () if encoding == "utf-8-sig" else (f"{path.name} is not UTF-8: read as {encoding}",)
    return _checked(path, columns, reader(path, text, columns)), notes


def require_unique(lines: dict[str, int], name: str, line: int, path: Path, column: str) -> None:
    """Record in `lines` that `name` is on `line`.

    Raises:
        UserError: `name` is on an earlier line too.
    """
    if name in lines:
        raise UserError(
            f"the {column} {name!r} is on line {lines[name]} too",
            where=f"{path}:{line}, column {column!r}",
            expected=f"each {column} once",
        )
    lines[name] = line


def read_text(path: Path) -> tuple[str, str]:
    """A file's text and its encoding: UTF-8 with or without a byte-order mark, else cp1252.

    Raises:
        UserError: the file cannot be read, or is not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror}", where=str(path)) from None
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding
    raise UserError("the file is not text", where=str(path), expected="UTF-8 (or cp1252)", fix="save it as UTF-8")


def _checked(path: Path, columns: Columns, rows: Iterator[TableRow]) -> Iterator[TableRow]:
    filled = columns.filled
    for line, cells in rows:
        for i, column in filled:
            if not cells[i]:
                raise UserError("the cell is empty", where=f"{path}:{line}, column {column!r}")
        yield line, cells


def _csv_rows(path: Path, text: str, columns: Columns) -> Iterator[TableRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(path, header, columns)
        width = len(header)
        pick = itemgetter(*(header.index(column) if column in header else width for column in columns.wanted))
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                raise UserError(
                    f"the row has {len(row)} cells, the header {width}",
                    where=f"{path}:{reader.line_num}",
                    expected=f"one cell for each of {', '.join(header)}",
                    fix='put cells that contain a comma or a quote between double quotes: "a, b"',
                )
            row.append("")  # the cell of every column that the table does not have
            yield reader.line_num, tuple(map(str.strip, pick(row)))
    except csv.Error as error:
        raise UserError(f"not valid CSV: {error}", where=f"{path}:{reader.line_num}") from None


def _check_header(path: Path, header: Sequence[str], columns: Columns) -> None:
    for column in columns.mandatory:
        if column not in header:
            raise columns.missing_column(f"{path}:1", column, header)
    for column in columns.wanted:
        if header.count(column) > 1:
            raise UserError(f"the column {column!r} appears twice", where=f"{path}:1", expected="each column once")


def _jsonl_rows(path: Path, text: str, columns: Columns) -> Iterator[TableRow]:
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
        for column in columns.mandatory:
            if column not in row:
                raise columns.missing_column(f"{path}:{line}", column, row)
        yield line, tuple(as_text(row.get(column), path, line, column) for column in columns.wanted)


def _parquet_rows(path: Path, columns: Columns) -> Iterator[TableRow]:
    from esn_dist.corpora.parquet import open_parquet

    file = open_parquet(path)
    present = file.schema_arrow.names
    for column in columns.mandatory:
        if column not in present:
            raise columns.missing_column(str(path), column, present)
    read = [column for column in columns.wanted if column in present]
    line = 0
    for batch in file.iter_batches(columns=read):
        for row in batch.to_pylist():
            line += 1
            yield line, tuple(as_text(row.get(column), path, line, column) for column in columns.wanted)


def as_text(value: Any, path: Path, line: int, column: str) -> str:
    """A typed cell as text: strings trimmed, integers in digits, null as "".

    Raises:
        UserError: any other value.
    """
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UserError(
        f"{json.dumps(value, default=repr)[:40]} is not a text",
        where=f"{path}:{line}, column {column!r}",
        expected="a string or an integer",
    )

"""Tables as arrays and back: codes with a category attribute, texts as bytes, ids last.

Knows nothing of what a table means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import zarr

from esn_dist.store.schema import GROWING_ID_WIDTH, Array, array_name, column_arrays, open_array
from esn_dist.store.tables import PAD, Table
from esn_dist.store.texts import decode_texts, encode_texts, text_width

AnyTable = TypeVar("AnyTable", bound=Table)
Categories = Mapping[str, Sequence[str]]


def create_columns(group: zarr.Group, table: Table, fixed: Categories, options: int) -> None:
    """Make and fill the columns of a table that never grows. `fixed` orders the categories of some of its codes."""
    columns = {name: getattr(table, name) for name in table.columns}
    widths = {name: text_width(columns[name]) for name, kind in table.columns.items() if kind == "text"}
    codes = (name for name, kind in table.columns.items() if kind == "code")
    categories = {name: fixed.get(name, new_categories((), columns[name])) for name in codes}
    specs = column_arrays(type(table), len(table), widths, categories, options)
    _fill({spec.name: spec.create(group) for spec in specs}, table, slice(0, len(table)))


def create_growing_columns(group: zarr.Group, table: type[Table]) -> None:
    """Make the columns of a table that grows, without rows; optional ones wait for a value."""
    categories: Categories = {name: () for name, kind in table.columns.items() if kind == "code"}
    widths = {name: GROWING_ID_WIDTH for name, kind in table.columns.items() if kind == "text"}
    for spec in column_arrays(table, 0, widths, categories, 0):
        if spec.name not in table.optional:
            spec.create(group)


def write_columns(path: Path, table: Table, rows: slice) -> list[Path]:
    """Fill `rows` of every column from the same rows of `table`; returns the folders touched.

    A row counts as there when its id is, and ids come last, so a kill leaves whole rows or none.
    """
    absent = missing_columns(path, type(table))
    names = [array_name(type(table), name) for name in table.columns if name not in absent]
    _fill({name: open_array(path / name, "r+") for name in names}, table, rows)
    return [path / name for name in names]


def read_columns(path: Path, table: type[AnyTable], rows: slice = slice(None)) -> AnyTable:
    """The table stored at `path`, or `rows` of it, pad rows included. Only the chunks that hold `rows` are read.

    Where a killed growth left columns of different lengths, the shortest counts: the others hold pad rows there.
    """
    absent = missing_columns(path, table)
    arrays = {name: open_array(path / array_name(table, name)) for name in table.columns if name not in absent}
    asked = range(min(array.shape[0] for array in arrays.values()))[rows]
    there = slice(asked.start, asked.stop)
    pads = {name: (PAD[table.columns[name]],) * len(asked) for name in absent}
    return table(**pads, **{name: _decoded(array, table.columns[name], there) for name, array in arrays.items()})


def missing_columns(path: Path, table: type[Table]) -> tuple[str, ...]:
    """Columns that this table did not have yet when the store was made."""
    return tuple(name for name in sorted(table.added) if not (path / array_name(table, name)).is_dir())


def create_missing_columns(group: zarr.Group, table: type[Table], names: Sequence[str], rows: int) -> None:
    """Make the columns `names` of a growing table inside `group`, with a pad in each of `rows` rows."""
    widths = dict.fromkeys(table.columns, GROWING_ID_WIDTH)
    for spec in column_arrays(table, rows, widths, dict.fromkeys(table.columns, ()), 0):
        if spec.name in names:
            spec.create(group)[:] = spec.fill


def new_categories(stored: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    """`stored` as it is, then the values it lacks, sorted: a code once given never changes its meaning."""
    return (*stored, *sorted(set(values) - {*stored, ""}))


def _fill(arrays: Mapping[str, Array], table: Table, rows: slice) -> None:
    if rows.stop > rows.start:
        for name, kind in reversed(list(table.columns.items())):
            if (array := arrays.get(array_name(type(table), name))) is not None:
                array[rows] = _encoded(array, kind, getattr(table, name)[rows])


def _encoded(array: Array, kind: str, values: Sequence[Any]) -> npt.NDArray[Any]:
    if kind == "text":
        return encode_texts(values, array.shape[1])
    if kind == "code":
        code = {name: number for number, name in enumerate(categories_of(array))} | {"": -1}
        return np.array([code[value] for value in values], dtype=array.dtype)
    if kind == "options":
        pad = (0,) * array.shape[1]
        return np.array([value or pad for value in values], dtype=array.dtype).reshape(len(values), array.shape[1])
    return np.array(values, dtype=array.dtype)


def _decoded(array: Array, kind: str, rows: slice) -> tuple[Any, ...]:
    values = np.asarray(array[rows])
    if kind == "text":
        return decode_texts(values)
    if kind == "code":
        names = (*categories_of(array), "")
        return tuple(names[code] for code in values)
    if kind == "options":
        return tuple(tuple(row) if any(row) else () for row in values.tolist())
    return tuple(values.tolist())


def categories_of(array: Array) -> tuple[str, ...]:
    """The words that an array's codes stand for."""
    return tuple(str(word) for word in array.attrs["categories"])  # type: ignore[union-attr]

"""Tables stored as arrays: codes with their categories, texts as bytes, and the id column written last.

Knows nothing of what a table means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from esn_dist.store.folder import StoreFolder
from esn_dist.store.schema import GROWING_ID_WIDTH, array_name, column_arrays
from esn_dist.store.tables import PAD, AnyTable, Table
from esn_dist.store.text_encoding import decode_texts, encode_texts, text_width
from esn_dist.store.zarr_nodes import Array, categories_of, has_node, open_array

Categories = Mapping[str, Sequence[str]]


def create_columns(group: zarr.Group, table: Table, fixed: Categories, options: int) -> None:
    """Make and fill the columns of a table that never grows. `fixed` orders the categories of some of its codes."""
    columns = {name: getattr(table, name) for name in table.columns}
    widths = {name: text_width(columns[name]) for name, kind in table.columns.items() if kind == "text"}
    codes = (name for name, kind in table.columns.items() if kind == "code")
    categories = {name: fixed.get(name, extended_categories((), columns[name])) for name in codes}
    specs = column_arrays(type(table), len(table), widths, categories, options)
    _fill({spec.name: spec.create(group) for spec in specs}, table, slice(0, len(table)))


def create_growing_columns(group: zarr.Group, table: type[Table]) -> None:
    """Make the columns of a table that grows, without rows; optional ones are made once a row has a value."""
    categories: Categories = {name: () for name, kind in table.columns.items() if kind == "code"}
    widths = {name: GROWING_ID_WIDTH for name, kind in table.columns.items() if kind == "text"}
    for spec in column_arrays(table, 0, widths, categories, 0):
        if spec.name not in table.optional:
            spec.create(group)


def write_columns(folder: StoreFolder, group: str, table: Table, rows: slice) -> list[str]:
    """Fill `rows` of every column from the same rows of `table`. Returns: the paths of the arrays.

    A row exists once its id does, and ids come last, so a kill leaves whole rows or none.
    """
    missing = missing_columns(folder, group, type(table))
    names = (array_name(type(table), name) for name in table.columns if name not in missing)
    paths = {name: f"{group}/{name}" for name in names}
    _fill({name: open_array(folder, path, "r+") for name, path in paths.items()}, table, rows)
    return list(paths.values())


def read_columns(folder: StoreFolder, group: str, table: type[AnyTable], rows: slice = slice(None)) -> AnyTable:
    """The table of `group`, or `rows` of it, with its pad rows. Only the chunks of `rows` are read.

    A killed growth may leave columns of different lengths. The shortest counts, because ids are written last.
    """
    missing = missing_columns(folder, group, table)
    arrays = {
        name: open_array(folder, f"{group}/{array_name(table, name)}") for name in table.columns if name not in missing
    }
    positions = range(min(array.shape[0] for array in arrays.values()))[rows]
    stored = slice(positions.start, positions.stop)
    pads = {name: (PAD[table.columns[name]],) * len(positions) for name in missing}
    return table(**pads, **{name: _decoded(array, table.columns[name], stored) for name, array in arrays.items()})


def missing_columns(folder: StoreFolder, group: str, table: type[Table]) -> tuple[str, ...]:
    """Columns that this table has and the store does not: added after the store was made, or optional and unused."""
    return tuple(name for name in sorted(table.added) if not has_node(folder, f"{group}/{array_name(table, name)}"))


def create_missing_columns(group: zarr.Group, table: type[Table], names: Sequence[str], rows: int) -> None:
    """Make the columns `names` of a growing table inside `group`, with a pad in each of `rows` rows."""
    widths = dict.fromkeys(table.columns, GROWING_ID_WIDTH)
    for spec in column_arrays(table, rows, widths, dict.fromkeys(table.columns, ()), 0):
        if spec.name in names:
            spec.create(group)[:] = spec.fill


def extended_categories(stored: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    """`stored` as it is, then the new ones of `values`, sorted: a code never changes its meaning."""
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

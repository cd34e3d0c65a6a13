"""Whether two stores are equal, array by array: rows are matched by id, codes by their word.

The position of a row in a grown store depends on its history and means nothing, so it is not compared; nor are pad
rows. Values are compared by their bits. Knows nothing of what any array means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from esn_dist.store.folder import DATA, StoreFolder
from esn_dist.store.lazy_rows import RowNumbers, read_rows
from esn_dist.store.text_encoding import decode_texts
from esn_dist.store.zarr_nodes import (
    Array,
    categories_of,
    children,
    dims_of,
    has_node,
    is_array,
    open_array,
    read_attributes,
)

RowsByDimension = dict[str, dict[str, int]]


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """One of the two arrays: `rows` are its row numbers of each dimension, in the order of the shared ids."""

    array: Array
    rows: list[RowNumbers]


def differences(a: StoreFolder, b: StoreFolder) -> list[str]:
    """What differs between `a` and `b`, one line per array; empty where they are equal."""
    a.require()
    b.require()
    nodes_a, nodes_b = _nodes(a), _nodes(b)
    lines = [f"{node}: only in {a.root}" for node in sorted(nodes_a - nodes_b)]
    lines += [f"{node}: only in {b.root}" for node in sorted(nodes_b - nodes_a)]
    return lines + [line for node in sorted(nodes_a & nodes_b) for line in _compare_nodes(a, b, node)]


def _nodes(folder: StoreFolder) -> set[str]:
    """Paths of every group and array, "." being the root."""
    ending = "/zarr.json"
    keys = (key for key in folder.backend.keys_below(DATA) if key.endswith(ending))
    return {key[len(DATA) + 1 : -len(ending)] or "." for key in keys}


def _compare_nodes(a: StoreFolder, b: StoreFolder, node: str) -> Iterator[str]:
    path = "" if node == "." else node
    arrays = [is_array(folder, path) for folder in (a, b)]
    if all(arrays):
        yield from _compare_arrays(a, b, node)
    elif any(arrays):
        yield f"{node}: a group in one, an array in the other"
    else:
        of_a, of_b = read_attributes(a, path), read_attributes(b, path)
        for name in sorted({*of_a, *of_b}):
            if of_a.get(name) != of_b.get(name):
                yield f"{node}: attribute {name} is {of_a.get(name)!r} and {of_b.get(name)!r}"


def _compare_arrays(folder_a: StoreFolder, folder_b: StoreFolder, node: str) -> Iterator[str]:
    # 1. Arrays of other dimensions or types are not compared further.
    a, b = open_array(folder_a, node), open_array(folder_b, node)
    rows_a, rows_b = _rows_by_id(folder_a, node), _rows_by_id(folder_b, node)
    dims = dims_of(a)
    if dims != dims_of(b) or a.dtype != b.dtype:
        yield f"{node}: {a.dtype} on {dims} and {b.dtype} on {dims_of(b)}"
        return
    # 2. Each axis: the ids that both stores have, and their row numbers in each. An axis without ids has positions.
    ids, side_a, side_b = [], _Side(a, []), _Side(b, [])
    for axis, dim in enumerate(dims):
        row_a, row_b = rows_a.get(dim), rows_b.get(dim)
        if row_a is None or row_b is None:
            if a.shape[axis] != b.shape[axis]:
                yield f"{node}: {dim} is {a.shape[axis]} and {b.shape[axis]} long"
                return
            row_a = row_b = {str(position): position for position in range(a.shape[axis])}
        if row_a.keys() != row_b.keys():
            yield (
                f"{node}: {len(row_a.keys() - row_b.keys())} {dim}s only in one, "
                f"{len(row_b.keys() - row_a.keys())} only in the other"
            )
        shared = [name for name in row_a if name in row_b]
        ids.append(shared)
        side_a.rows.append(np.array([row_a[name] for name in shared], dtype=np.int64))
        side_b.rows.append(np.array([row_b[name] for name in shared], dtype=np.int64))
    # 3. The values of these rows.
    yield from _compare_values(node, ids, side_a, side_b)


def _compare_values(node: str, ids: list[list[str]], a: _Side, b: _Side) -> Iterator[str]:
    """Reads the rows of one chunk of `a` at a time, and the rows of the same ids of `b`."""
    count, first = 0, ""
    total = int(np.prod([len(names) for names in ids]))
    chunk = a.rows[0] // (a.array.shards or a.array.chunks)[0]
    for number in np.unique(chunk):
        in_chunk = np.flatnonzero(chunk == number)
        values_a, values_b = _values(a, in_chunk), _values(b, in_chunk)
        unequal = np.argwhere(_unequal(values_a, values_b))
        if len(unequal) and not first:
            index = unequal[0]
            names = [ids[0][in_chunk[index[0]]], *(of[i] for of, i in zip(ids[1:], index[1:], strict=True))]
            first = f"first at {', '.join(names)}: {values_a[tuple(index)]} and {values_b[tuple(index)]}"
        count += len(unequal)
    if count:
        yield f"{node}: {count} of {total} values differ ({first})"


def _values(side: _Side, positions: RowNumbers) -> npt.NDArray[Any]:
    """The values of the shared ids at `positions`; codes are replaced by their words, whose order may differ."""
    values = read_rows(side.array, side.rows[0][positions], *side.rows[1:])
    if "categories" not in side.array.attrs or side.array.dtype.kind not in "iu":
        return values
    # The last word is that of code −1.
    return np.asarray(np.array([*categories_of(side.array), ""], dtype=np.str_)[values])


def _unequal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if a.dtype.kind == "f":
        bits = f"u{a.dtype.itemsize}"
        return np.asarray(a.view(bits) != b.view(bits))
    return np.asarray(a != b)


def _rows_by_id(folder: StoreFolder, node: str) -> RowsByDimension:
    """Row number of every id, for each dimension that has ids in the group of the array `node`."""
    group = node.rpartition("/")[0]
    rows: RowsByDimension = {}
    for name in children(folder, group):
        if name.endswith("_id") and has_node(folder, f"{group}/{name}"):
            ids = decode_texts(np.asarray(open_array(folder, f"{group}/{name}")[:]))
            rows[name.removesuffix("_id")] = {row_id: row for row, row_id in enumerate(ids) if row_id}
    return rows

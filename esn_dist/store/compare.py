"""Whether two stores say the same, array by array: rows are matched by id, codes by the word they stand for.

The place of a row in a grown store depends on its history and means nothing, so it is not compared; nor are pad rows.
Values are compared by their bits. Knows nothing of what any array means.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from esn_dist.store.columns import categories_of
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lazy import Positions, read_rows
from esn_dist.store.schema import Array, dims_of, open_array
from esn_dist.store.texts import decode_texts

Rows = dict[str, dict[str, int]]


def differences(a: StoreFolder, b: StoreFolder) -> list[str]:
    """What differs between `a` and `b`, one line per array; empty where they hold the same."""
    a.require()
    b.require()
    nodes_a, nodes_b = _nodes(a.data), _nodes(b.data)
    only = [f"{node}: only in {a.root}" for node in sorted(nodes_a - nodes_b)]
    only += [f"{node}: only in {b.root}" for node in sorted(nodes_b - nodes_a)]
    both = sorted(nodes_a & nodes_b)
    return only + [line for node in both for line in _compare_node(a.data, b.data, node)]


def _nodes(data: Path) -> set[str]:
    """Every group and array, "." being the root."""
    return {str(found.parent.relative_to(data)) for found in data.rglob("zarr.json")}


def _compare_node(a: Path, b: Path, node: str) -> Iterator[str]:
    opened = [zarr.open(root / node, mode="r") for root in (a, b)]
    if isinstance(opened[0], zarr.Group) and isinstance(opened[1], zarr.Group):
        attributes = [group.attrs.asdict() for group in opened]
        names = sorted({*attributes[0], *attributes[1]})
        changed = [name for name in names if attributes[0].get(name) != attributes[1].get(name)]
        yield from (
            f"{node}: attribute {name} is {attributes[0].get(name)!r} and {attributes[1].get(name)!r}"
            for name in changed
        )
    elif isinstance(opened[0], zarr.Array) and isinstance(opened[1], zarr.Array):
        yield from _compare_arrays(node, _rows(a / node), _rows(b / node), open_array(a / node), open_array(b / node))
    else:
        yield f"{node}: a group in one, an array in the other"


def _compare_arrays(node: str, rows_a: Rows, rows_b: Rows, a: Array, b: Array) -> Iterator[str]:
    dims = dims_of(a)
    if dims != dims_of(b) or a.dtype != b.dtype:
        yield f"{node}: {a.dtype} on {dims} and {b.dtype} on {dims_of(b)}"
        return
    ids, places_a, places_b = [], [], []
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
        names = [name for name in row_a if name in row_b]
        ids.append(names)
        places_a.append(np.array([row_a[name] for name in names], dtype=np.int64))
        places_b.append(np.array([row_b[name] for name in names], dtype=np.int64))
    yield from _compare_values(node, ids, (a, places_a), (b, places_b))


def _compare_values(
    node: str, ids: list[list[str]], a: tuple[Array, list[Positions]], b: tuple[Array, list[Positions]]
) -> Iterator[str]:
    """Reads one chunk's rows of `a` at a time and the rows of the same ids of `b`."""
    count, first = 0, ""
    total = int(np.prod([len(names) for names in ids]))
    step = (a[0].shards or a[0].chunks)[0]
    chunk = a[1][0] // step
    for number in np.unique(chunk):
        here = np.flatnonzero(chunk == number)
        one, other = (_values(array, [places[0][here], *places[1:]]) for array, places in (a, b))
        unequal = np.argwhere(_unequal(one, other))
        if len(unequal) and not first:
            at = unequal[0]
            names = [ids[0][here[at[0]]], *(names[index] for names, index in zip(ids[1:], at[1:], strict=True))]
            first = f"first at {', '.join(names)}: {one[tuple(at)]} and {other[tuple(at)]}"
        count += len(unequal)
    if count:
        yield f"{node}: {count} of {total} values differ ({first})"


def _values(array: Array, places: list[Positions]) -> npt.NDArray[Any]:
    found = read_rows(array, *places)
    if "categories" not in array.attrs or array.dtype.kind not in "iu":
        return found
    # Codes are given in the order in which a store has grown; the last word is that of code -1.
    return np.asarray(np.array([*categories_of(array), ""], dtype=np.str_)[found])


def _unequal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if one.dtype.kind == "f":
        bits = f"u{one.dtype.itemsize}"
        return np.asarray(one.view(bits) != other.view(bits))
    return np.asarray(one != other)


def _rows(array: Path) -> Rows:
    """Position of every id on every dimension that has ids, in the array's group."""
    found: Rows = {}
    for path in array.parent.glob("*_id/zarr.json"):
        ids = decode_texts(np.asarray(open_array(path.parent)[:]))
        found[path.parent.name.removesuffix("_id")] = {name: row for row, name in enumerate(ids) if name}
    return found

"""Selected rows of a Zarr array as a lazy xarray variable that always reads slices.

Zarr's fancy indexing into shards is some 50 times slower than a slice that NumPy indexes. Knows nothing of what the
rows are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from esn_dist.store.zarr_nodes import Array, dims_of

RowNumbers = npt.NDArray[np.int64]


def lazy_variable(array: Array, rows: Mapping[str, RowNumbers]) -> xr.Variable:
    """`array` with only `rows[dim]` of each dimension that `rows` names; nothing is read yet."""
    dims = dims_of(array)
    selected = [rows.get(dim, np.arange(size)) for dim, size in zip(dims, array.shape, strict=True)]
    return xr.Variable(dims, indexing.LazilyIndexedArray(_SelectedRows(array, selected)))


def read_rows(array: Array, *selected: RowNumbers) -> npt.NDArray[Any]:
    """`array` at the product of `selected`: one list per leading dimension, in any order, with repeats.

    Returns: values of shape `(len(selected[0]), len(selected[1]), …, *rest)`.
    """
    if any(not len(rows) for rows in selected):
        return np.empty((*map(len, selected), *array.shape[len(selected) :]), dtype=array.dtype)
    # 1. Sort the rows of the first dimension: R rows with repeats → U unique rows. `inverse` [R] points into them.
    unique, inverse = np.unique(selected[0], return_inverse=True)
    # 2. Split the U rows into runs of neighbouring chunks, so that no chunk is read twice or for nothing.
    chunk_rows = (array.shards or array.chunks)[0]
    runs = np.split(unique, np.flatnonzero(np.diff(unique // chunk_rows) > 1) + 1)
    # 3. Read each run with one slice [span of the run, span of dimension 1, …, *rest], and keep its own rows.
    spans = tuple(_span(rows) for rows in selected[1:])
    pieces = [_take(np.asarray(array[(_span(run), *spans)]), 0, run) for run in runs]
    # 4. Join the runs to [U, span of dimension 1, …, *rest], then restore order and repeats: [R, …].
    values = _take(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), 0, inverse)
    # 5. Select inside the spans of the other dimensions.
    for axis, rows in enumerate(selected[1:], start=1):
        values = _take(values, axis, rows)
    return values


class _SelectedRows(BackendArray):
    """The adapter that xarray indexes; `selected` holds the row numbers of every dimension."""

    def __init__(self, array: Array, selected: list[RowNumbers]) -> None:
        self._array = array
        self._selected = selected
        self.dtype = array.dtype
        self.shape = tuple(map(len, selected))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        rows = (np.atleast_1d(selected[index]) for selected, index in zip(self._selected, key, strict=True))
        values = read_rows(self._array, *rows)
        # xarray expects an integer index to drop its dimension.
        return values[tuple(0 if np.ndim(i) == 0 and not isinstance(i, slice) else slice(None) for i in key)]


def _span(rows: RowNumbers) -> slice:
    """The smallest slice that covers `rows`."""
    return slice(int(rows.min()), int(rows.max()) + 1)


def _take(values: npt.NDArray[Any], axis: int, rows: RowNumbers) -> npt.NDArray[Any]:
    """`rows`, relative to the smallest of them, along `axis`; no copy where that is everything in order."""
    relative = rows - rows.min()
    if np.array_equal(relative, np.arange(values.shape[axis])):
        return values
    return np.asarray(values.take(relative, axis=axis))

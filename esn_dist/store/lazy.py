"""Chosen rows of a Zarr array as a lazy xarray variable that reads slices, whatever the analyst asks for.

Zarr's own fancy indexing into shards is some 50 times slower than a slice followed by NumPy's. Knows nothing of what
the rows are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from esn_dist.store.schema import Array, dims_of

Positions = npt.NDArray[np.int64]


def lazy_variable(array: Array, rows: Mapping[str, Positions]) -> xr.Variable:
    """`array` with only `rows[dim]` of each dimension named there; nothing is read yet."""
    dims = dims_of(array)
    kept = [rows.get(dim, np.arange(size)) for dim, size in zip(dims, array.shape, strict=True)]
    return xr.Variable(dims, indexing.LazilyIndexedArray(_Rows(array, kept)))


def read_rows(array: Array, *positions: Positions) -> npt.NDArray[Any]:
    """`array` at the product of `positions` (one list per leading dimension, any order, repeats allowed).

    The first dimension is read in runs of neighbouring chunks, each with one slice; the others with one covering slice.
    """
    inner = tuple(_cover(places) for places in positions[1:])
    rows, back = np.unique(positions[0], return_inverse=True)
    if not len(rows) or any(not len(places) for places in positions[1:]):
        return np.empty((*map(len, positions), *array.shape[len(positions) :]), dtype=array.dtype)
    step = (array.shards or array.chunks)[0]
    runs = np.split(rows, np.flatnonzero(np.diff(rows // step) > 1) + 1)
    pieces = [_take(np.asarray(array[(_cover(run), *inner)]), 0, run) for run in runs]
    found = _take(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), 0, back)
    for axis, places in enumerate(positions[1:], start=1):
        found = _take(found, axis, places)
    return found


class _Rows(BackendArray):
    """The adapter that xarray asks for; `kept` holds the positions of every dimension."""

    def __init__(self, array: Array, kept: list[Positions]) -> None:
        self._array = array
        self._kept = kept
        self.dtype = array.dtype
        self.shape = tuple(map(len, kept))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        found = read_rows(self._array, *(np.atleast_1d(kept[part]) for kept, part in zip(self._kept, key, strict=True)))
        return found[tuple(0 if np.ndim(part) == 0 and not isinstance(part, slice) else slice(None) for part in key)]


def _cover(places: Positions) -> slice:
    return slice(int(places.min()), int(places.max()) + 1) if len(places) else slice(0, 0)


def _take(values: npt.NDArray[Any], axis: int, places: Positions) -> npt.NDArray[Any]:
    """`places`, relative to the smallest of them, along `axis`; no copy where that is everything in order."""
    relative = places - places.min()
    if np.array_equal(relative, np.arange(values.shape[axis])):
        return values
    return np.asarray(values.take(relative, axis=axis))

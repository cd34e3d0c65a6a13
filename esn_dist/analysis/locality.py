"""In which layers masks have their neurons (paper Fig. 4), and the Jaccard overlap of masks.

Knows no answers and no stores: masks go in. The overlap of two empty masks is undefined (NaN), never 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.terms import JOIN

# Coordinates that identify a mask.
MEANING = ("selector", "source_corpus", "source_emotion", "fraction", "mask_seed", "identification_size", "parts")
COMPARED = ("source_emotion", "selector", "source_corpus")


class MaskPair(NamedTuple):
    """Two masks that differ in the coordinate `differs_in`, by `first` and `second`; all else is that of the first."""

    differs_in: str
    first: str
    second: str
    selector: str
    source_corpus: str
    source_emotion: str
    fraction: float
    identification_size: int
    parts: str
    jaccard: float
    expected: float


def layer_distribution(masks: xr.Dataset) -> xr.DataArray:
    """neurons[mask, layer] of member[mask, layer, neuron]; reads a single mask at a time."""
    counts = [np.asarray(masks["member"][row].values).sum(axis=-1) for row in range(masks.sizes["mask"])]
    shape = (masks.sizes["mask"], masks.sizes["layer"])
    array = np.array(counts, np.int64).reshape(shape)
    return xr.DataArray(array, dims=("mask", "layer"), coords=_coordinates(masks), name="neurons", attrs=masks.attrs)


def overlap(masks: xr.Dataset) -> xr.Dataset:
    """Every mask against every other.

    Returns:
        shared[mask, other]: neurons in both; jaccard[mask, other]: of those in either; expected[mask, other]: the
        Jaccard overlap that two random masks of these sizes have on average (hypergeometric mean of `shared`).
    """
    sets = _members(masks)
    sizes = np.array([len(members) for members in sets], np.int64)
    neurons = masks.sizes["layer"] * masks.sizes["neuron"]
    shared = np.array([[len(np.intersect1d(a, b, assume_unique=True)) for b in sets] for a in sets], np.int64)
    shared = shared.reshape(len(sets), len(sets))
    both = sizes[:, None] + sizes
    by_chance = np.outer(sizes, sizes) / neurons
    names = masks["mask"].values
    coords = {**_coordinates(masks), "other": names}
    return xr.Dataset(
        {
            "shared": (("mask", "other"), shared),
            "jaccard": (("mask", "other"), _jaccard(shared, both)),
            "expected": (("mask", "other"), _jaccard(by_chance, both)),
        },
        coords=coords,
        attrs=masks.attrs,
    )


def related(overlaps: xr.Dataset) -> Iterator[MaskPair]:
    """Pairs of masks that differ in one thing alone: in emotion, in selector, or in corpus; each pair once.

    Unions of several emotions are left out: by construction they overlap with the masks they join.
    """
    columns = [map(str, overlaps[name].values) for name in MEANING]
    meanings = [dict(zip(MEANING, row, strict=True)) for row in zip(*columns, strict=True)]
    for i, first in enumerate(meanings):
        for j in range(i + 1, len(meanings)):
            second = meanings[j]
            differing = [name for name in MEANING if first[name] != second[name]]
            emotions = first["source_emotion"], second["source_emotion"]
            if len(differing) == 1 and differing[0] in COMPARED and _single(*emotions):
                (differs_in,) = differing
                jaccard, expected = (float(overlaps[name].values[i, j]) for name in ("jaccard", "expected"))
                yield MaskPair(
                    differs_in, first[differs_in], second[differs_in],
                    first["selector"], first["source_corpus"], emotions[0],
                    float(first["fraction"]), int(first["identification_size"]), first["parts"], jaccard, expected,
                )  # fmt: skip


def _single(*emotions: str) -> bool:
    return all(emotion and JOIN not in emotion for emotion in emotions)


def jaccard(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """|A ∩ B| / |A ∪ B| of two masks of the same shape; NaN where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else float("nan")


def _members(masks: xr.Dataset) -> list[npt.NDArray[np.int64]]:
    """Flat positions of each mask's neurons: a mask of 0.5 % is small, all masks as booleans are not."""
    return [np.flatnonzero(masks["member"][row].values) for row in range(masks.sizes["mask"])]


def _jaccard(shared: npt.NDArray[np.generic], both: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    union = both - shared.astype(np.float64)
    undefined: npt.NDArray[np.float64] = np.full(union.shape, np.nan)
    return np.divide(shared.astype(np.float64), union, out=undefined, where=union > 0)


def _coordinates(masks: xr.Dataset) -> dict[str, xr.DataArray]:
    return {name: masks[name] for name in ("mask", *MEANING) if name in masks.coords}

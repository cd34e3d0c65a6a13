"""Overlap and layers of masks, against Python's sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.analysis.locality import jaccard, layer_distribution, overlap, related
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import open_masks
from tests.stored_masks import read_member


def _masks(member: np.ndarray) -> xr.Dataset:
    names = [f"m{number}" for number in range(len(member))]
    coords = {"mask": names, "selector": ("mask", ["MAD"] * len(member))}
    return xr.Dataset({"member": (("mask", "layer", "neuron"), member)}, coords=coords, attrs={"model": "tiny"})


def _sets(member: np.ndarray) -> list[set[tuple[int, ...]]]:
    return [{tuple(map(int, index)) for index in np.argwhere(mask)} for mask in member]


@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.1, 0.5]))
def test_overlap_equals_sets(seed: int, share: float) -> None:
    member = np.random.default_rng(seed).random((4, 3, 8)) < share
    overlaps, sets = overlap(_masks(member)), _sets(member)
    for i, a in enumerate(sets):
        for j, b in enumerate(sets):
            assert overlaps["shared"][i, j] == len(a & b)
            expected = len(a & b) / len(a | b) if a | b else np.nan
            np.testing.assert_allclose(overlaps["jaccard"][i, j], expected)
            np.testing.assert_allclose(jaccard(member[i], member[j]), expected)


def test_the_expected_overlap_is_that_of_random_masks() -> None:
    random = np.random.default_rng(0)
    member = np.zeros((400, 1, 200), np.bool_)
    for mask in member:
        mask[0, random.choice(200, 40, replace=False)] = True
    overlaps = overlap(_masks(member))
    off = ~np.eye(400, dtype=bool)
    assert overlaps["shared"].values[off].mean() == pytest.approx(40 * 40 / 200, rel=0.02)
    assert overlaps["jaccard"].values[off].mean() == pytest.approx(overlaps["expected"].values[0, 1], rel=0.03)


def test_two_empty_masks_have_no_overlap_value_but_an_empty_and_a_full_one_have_zero() -> None:
    member = np.zeros((3, 2, 4), np.bool_)
    member[2, 0, 1] = True
    overlaps = overlap(_masks(member))["jaccard"]
    assert np.isnan(overlaps[0, 1]) and overlaps[0, 2] == 0 and overlaps[2, 2] == 1


def test_layers_are_counted_and_coordinates_kept() -> None:
    member = np.zeros((2, 3, 4), np.bool_)
    member[0, 1, :3] = True
    member[1, 2, 0] = True
    overlaps = layer_distribution(_masks(member))
    assert overlaps.values.tolist() == [[0, 3, 0], [0, 0, 1]]
    assert list(overlaps["selector"].values) == ["MAD", "MAD"] and overlaps.dims == ("mask", "layer")


def test_pairs_differ_in_emotion_or_selector_or_corpus_alone(small_store: Path) -> None:
    pairs = list(related(overlap(open_masks(StoreFolder(small_store), "tiny"))))
    assert Counter(pair.differs_in for pair in pairs) == {"source_emotion": 12, "selector": 6, "source_corpus": 6}
    pair = next(
        p for p in pairs if p.differs_in == "source_corpus" and (p.selector, p.source_emotion) == ("MAD", "joy")
    )
    masks = [read_member(StoreFolder(small_store), "tiny", f"MAD-{corpus}-joy") for corpus in ("studio", "room")]
    assert {pair.first, pair.second} == {"studio", "room"} and pair.jaccard == jaccard(*masks)

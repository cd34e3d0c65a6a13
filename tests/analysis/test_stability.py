"""Mask stability: one pass over the store equals summing utterance by utterance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esn_dist.analysis.bootstrap import resample
from esn_dist.analysis.identification import identification_pool
from esn_dist.analysis.locality import jaccard
from esn_dist.analysis.stability import mask_stability, resampled_firing
from esn_dist.selection.firing import Firing
from esn_dist.selection.masks import budget, top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.store.folder import StoreFolder


def _slow(small_store: Path, draws: int) -> list[Firing]:
    """Every draw listed as utterances, and summed one at a time."""
    result = identification_pool(StoreFolder(small_store), "tiny", "studio", size=12)
    code, K, T = (np.concatenate(arrays) for arrays in zip(*result.blocks(), strict=True))
    sample = resample(code.astype(np.int64), 3, "identification", "studio", 5, draws=draws)
    firings = []
    for draw in range(1 + draws):
        sums, positions = np.zeros((3, 4, 16), int), np.zeros(3, int)
        for emotion in range(3):
            for row, times in zip(sample.rows[emotion], sample.weights[emotion][draw], strict=True):
                for _ in range(int(times)):
                    sums[emotion] += K[row]
                    positions[emotion] += T[row]
        firings.append(Firing(result.chosen.emotions, sums, positions))
    return firings


def test_resampled_firing_equals_summing_utterance_by_utterance(small_store: Path) -> None:
    result = resampled_firing(identification_pool(StoreFolder(small_store), "tiny", "studio", size=12), 5, draws=4)
    for fast, slow in zip(result, _slow(small_store, 4), strict=True):
        assert (fast.K == slow.K).all() and (fast.T == slow.T).all()


def test_stability_is_the_overlap_of_the_masks_of_the_draws(small_store: Path) -> None:
    result = mask_stability(
        identification_pool(StoreFolder(small_store), "tiny", "studio", size=12), ["MAD", "ConAct"], "0.1", 5, draws=4
    )
    result = result.sel(selector="ConAct")
    itself, *drawn = (top_neurons(scores_of("ConAct", firing), budget("0.1", 64)) for firing in _slow(small_store, 4))
    for emotion in range(3):
        expected = [jaccard(mask[emotion], itself[emotion]) for mask in drawn]
        assert result["jaccard"][:, emotion].values.tolist() == expected
        pairs = [jaccard(a[emotion], b[emotion]) for i, a in enumerate(drawn) for b in drawn[:i]]
        assert result["pairwise"][emotion] == pytest.approx(np.mean(pairs))
    assert result["size"].values.tolist() == itself.sum(axis=(1, 2)).tolist()


def test_more_utterances_make_masks_more_stable(small_store: Path) -> None:
    def stable(size: int) -> float:
        sized = identification_pool(StoreFolder(small_store), "tiny", "studio", size=size)
        return float(mask_stability(sized, ["ConAct"], "0.1", 0, draws=10)["jaccard"].mean())

    assert stable(30) > stable(3)


def test_pooled_corpora_are_resampled_each_by_itself(small_store: Path) -> None:
    """Every draw keeps what each corpus gives: T of one corpus's text positions is 40 per utterance in both."""
    both = identification_pool(StoreFolder(small_store), "tiny", "studio+room", size=5, parts=["text"])
    for firing in resampled_firing(both, 1, draws=4):
        assert firing.T.tolist() == [10 * 40] * 3
    result = mask_stability(both, ["MAD"], "0.1", 1, draws=3)
    assert result.attrs["corpus"] == "studio+room" and result.attrs["identification_size"] == 5
    assert result.attrs["parts"] == "text" and result.attrs["identified"] == 10

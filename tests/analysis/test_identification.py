"""Counts read from a store again: the sweep's own masks come out, and other parameters do what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from esn_dist.analysis.identification import identification_pool
from esn_dist.errors import UserError
from esn_dist.selection.identification_sets import counted_utterances, identification_sets, shared_emotions
from esn_dist.selection.masks import budget, top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks
from tests.stored_masks import read_member

EMOTIONS = ("anger", "joy", "sadness")


def test_the_default_pool_gives_the_stored_masks(small_store: Path) -> None:
    folder = StoreFolder(small_store)
    for corpus in ("studio", "room"):
        firing = identification_pool(folder, "tiny", corpus).firing()
        for selector in ("MAD", "ConAct"):
            masks = top_neurons(scores_of(selector, firing), budget("0.1", 64))
            for emotion, mask in zip(firing.emotions, masks, strict=True):
                assert (mask == read_member(folder, "tiny", f"{selector}-{corpus}-{emotion}")).all()


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 30), ({"size": 10}, 10), ({"cap": 20}, 20), ({"cap": 99}, 32), ({"cap": 99, "all_items": True}, 36)],
)
def test_sizes_caps_and_all_items(small_store: Path, options: dict[str, int], size: int) -> None:
    pool = identification_pool(StoreFolder(small_store), "tiny", "studio", **options)  # type: ignore[arg-type]
    assert pool.chosen.size == size
    assert np.bincount(pool.chosen.code[pool.chosen.code >= 0]).tolist() == [size] * 3


def test_firing_of_some_parts_equals_a_slow_sum(small_store: Path) -> None:
    folder = StoreFolder(small_store)
    firing = identification_pool(folder, "tiny", "room", size=5, parts=["text"]).firing()
    blocks = list(count_blocks(folder, "tiny", "room"))
    for code, emotion in enumerate(firing.emotions):
        rows = [(b, r) for b in blocks for r in range(len(b.label)) if b.label[r] == emotion and b.answer[r] == code]
        assert (firing.K[code] == sum(b.K[r, 1].astype(int) for b, r in rows[:5])).all()
        assert firing.T[code] == 5 * 40


def test_blocks_hold_what_firing_sums(small_store: Path) -> None:
    pool = identification_pool(StoreFolder(small_store), "tiny", "room", size=5, parts=["audio", "text"])
    code, K, T = (np.concatenate(arrays) for arrays in zip(*pool.blocks(), strict=True))
    firing = pool.firing()
    for emotion in range(3):
        assert (K[code == emotion].sum(axis=0) == firing.K[emotion]).all()
        assert T[code == emotion].sum() == firing.T[emotion]


def test_an_unknown_part_is_refused_with_the_nearest(small_store: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'audio'"):
        identification_pool(StoreFolder(small_store), "tiny", "room", parts=["audi"])


def test_pooled_corpora_give_alike_and_equal_the_sum_of_their_own(small_store: Path) -> None:
    folder = StoreFolder(small_store)
    together = identification_pool(folder, "tiny", "studio+room", size=7)
    single = [identification_pool(folder, "tiny", corpus, size=7).firing() for corpus in ("studio", "room")]
    firing = together.firing()
    assert (firing.K == single[0].K + single[1].K).all() and (firing.T == single[0].T + single[1].T).all()
    assert (together.chosen.size, together.chosen.requested, together.chosen.available) == (14, 7, (64, 64, 64))
    assert np.bincount(together.stratum).tolist() == [7] * 6


def test_the_smallest_corpus_decides_how_many_utterances_each_contributes(small_store: Path) -> None:
    folder = StoreFolder(small_store)
    candidates = [counted_utterances(folder, "tiny", corpus) for corpus in ("studio", "room")]
    poor = replace(candidates[0], correct=candidates[0].correct & (np.arange(len(candidates[0].label)) % 4 == 0))
    counts = [int((poor.correct & (poor.label == emotion)).sum()) for emotion in EMOTIONS]
    for size, requested in (("auto", None), (99, 99), (2, 2)):
        chosen = identification_sets([poor, candidates[1]], EMOTIONS, size, [None, 30])  # type: ignore[arg-type]
        assert [chosen_set.size for chosen_set in chosen] == [min(counts) if size != 2 else 2] * 2
        assert {chosen_set.requested for chosen_set in chosen} == {requested}


def test_emotions_that_all_corpora_have_keep_the_order_of_the_first() -> None:
    assert shared_emotions([("anger", "frustration", "joy"), ("surprise", "joy", "anger")]) == ("anger", "joy")


def test_an_answer_that_names_no_option_is_not_right(small_store: Path) -> None:
    pool = counted_utterances(StoreFolder(small_store), "tiny", "studio")
    assert pool.correct.sum() == 3 * 32 and len(pool.id) == 3 * 36

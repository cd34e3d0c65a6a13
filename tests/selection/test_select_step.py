"""The select step on a real small store: what is joined, drawn or pooled is what its key says."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pytest

from esn_dist.runner.mask_selection import MaskSelection
from esn_dist.selection.firing import Firing
from esn_dist.selection.masks import random_mask, top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.store import create, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_masks
from esn_dist.store.tables import ExclusionTable, MaskTable, UtteranceTable, in_whole_shards
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.records import read_mask_keys
from tests.stored_masks import read_member

LAYERS, WIDTH, BUDGET = 3, 40, 12
EMOTIONS: dict[str, tuple[str, ...]] = {"one": ("anger", "frustration", "joy"), "two": ("surprise", "joy", "anger")}
CORRECT = {"one": 6, "two": 4}  # of each emotion, which are its first
ROWS = 8
ALL = ("audio", "text", "generated")


def key(selector: str, corpus: str = "one", emotion: str = "joy", **changed: object) -> MaskKey:
    given = {"seed": -1, "size": "auto", "parts": ALL} | changed
    return MaskKey("tiny", selector, Decimal("0.1"), corpus, emotion, **given)  # type: ignore[arg-type]


MIXED = ("anger", "frustration", "joy")
KEYS = [
    *(key(s, emotion=e) for s in ("MAD", "ConAct", "LAPE-filtered") for e in ("joy", "anger")),
    key("MAD", emotion="joy+anger"),
    key("MAD", emotion="joy", parts=("audio",)),
    key("MAD", emotion="joy", size=2),
    *(key("RND-like-MAD", emotion=e, seed=s) for e in ("joy", "anger") for s in (0, 1)),
    key("RND-like-MAD", emotion="joy+anger", seed=0),
    key("MAD", corpus="one+two", emotion="joy"),
    *(key("RND", "", e, seed=0, size="", parts=()) for e in ("", "joy", "anger", "joy+anger")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StoreFolder:
    """Two corpora with counts, every emotion's first utterances answered correctly; all masks selected."""
    made = StoreFolder(tmp_path_factory.mktemp("store") / "sweep")
    create.create_root(made, {})
    for corpus in EMOTIONS:
        create.add_corpus(
            made, corpus, EMOTIONS[corpus], UtteranceTable.empty(), utterances(corpus), ExclusionTable.empty(), {}
        )
    create.add_model(made, "tiny", LAYERS, WIDTH, {})
    for corpus in EMOTIONS:
        create.add_counts(made, "tiny", corpus)
        for shard in range(3):
            K, T = counts(corpus, shard)
            answer = np.where(np.arange(ROWS) < CORRECT[corpus], shard, (shard + 1) % 3)
            write.write_counts(
                made, "tiny", corpus, slice(32 * shard, 32 * shard + 32), K=K, T=T, answer=answer,
                outcome=np.ones(ROWS, np.uint8), logprob=np.zeros((ROWS, 3), np.float32), text=["1"] * ROWS,
            )  # fmt: skip
    rows = [
        (k.id, k.selector, k.corpus, k.emotion, 0.1, k.seed, k.size if isinstance(k.size, int) else 0,
         "+".join(k.parts), BUDGET) for k in KEYS
    ]  # fmt: skip
    create.add_masks(made, "tiny", MaskTable.from_rows(rows))
    selection = MaskSelection(made, "tiny", EMOTIONS, {"one": 500, "two": 500}, seed=9)
    for mask in KEYS:
        selection.write(mask)
    return made


def utterances(corpus: str) -> UtteranceTable:
    rows = [
        (f"{corpus}-{emotion}-{n}", "s", emotion, (1, 2, 3), "", "", 1, "0")
        for emotion in EMOTIONS[corpus]
        for n in range(ROWS)
    ]
    return in_whole_shards(UtteranceTable.from_rows(rows), EMOTIONS[corpus])


def counts(corpus: str, emotion: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """K[utterance, part, layer, neuron] and T[utterance, part] of one emotion's candidates."""
    random = np.random.default_rng([len(corpus), ord(corpus[0]), emotion])
    T = np.broadcast_to(np.array([60, 20, 2], np.uint16), (ROWS, 3))
    return random.binomial(T[:, :, None, None], random.random((LAYERS, WIDTH))).astype(np.uint16), T


def firing(corpus: str, emotions: tuple[str, ...], used: int, parts: list[int]) -> Firing:
    """The first `used` utterances of each emotion, summed over `parts`, without the code of the step."""
    K, T = zip(*(counts(corpus, EMOTIONS[corpus].index(e)) for e in emotions), strict=True)
    sums = np.stack([k[:used][:, parts].sum(axis=(0, 1), dtype=np.int64) for k in K])
    return Firing(emotions, sums, np.array([t[:used][:, parts].sum(dtype=np.int64) for t in T]))


def chosen(of: Firing, selector: str, emotion: str) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = top_neurons(scores_of(selector, of), BUDGET)[of.emotions.index(emotion)]
    return mask


@pytest.mark.parametrize("selector", ["MAD", "ConAct", "LAPE-filtered"])
def test_single_masks_are_selected_from_the_first_correct_utterances(folder: StoreFolder, selector: str) -> None:
    expected = chosen(firing("one", MIXED, 6, [0, 1, 2]), selector, "joy")
    np.testing.assert_array_equal(read_member(folder, "tiny", key(selector).id), expected)


def test_a_union_is_the_union_of_its_emotions_masks(folder: StoreFolder) -> None:
    joy, anger, both = (read_member(folder, "tiny", key("MAD", emotion=e).id) for e in ("joy", "anger", "joy+anger"))
    np.testing.assert_array_equal(both, joy | anger)
    assert not np.array_equal(both, joy)


def test_positions_and_sizes_change_what_is_summed(folder: StoreFolder) -> None:
    audio = chosen(firing("one", MIXED, 6, [0]), "MAD", "joy")
    np.testing.assert_array_equal(read_member(folder, "tiny", key("MAD", parts=("audio",)).id), audio)
    two = chosen(firing("one", MIXED, 2, [0, 1, 2]), "MAD", "joy")
    np.testing.assert_array_equal(read_member(folder, "tiny", key("MAD", size=2).id), two)


def test_layer_matched_masks_follow_the_layers_of_their_emotion_s_mask_and_differ_by_seed(folder: StoreFolder) -> None:
    for emotion in ("joy", "anger"):
        matched = read_member(folder, "tiny", key("MAD", emotion=emotion).id)
        drawn = [read_member(folder, "tiny", key("RND-like-MAD", emotion=emotion, seed=s).id) for s in (0, 1)]
        for mask in drawn:
            np.testing.assert_array_equal(mask.sum(axis=1), matched.sum(axis=1))
        assert not np.array_equal(drawn[0], drawn[1])
        assert not np.array_equal(drawn[0], matched)
    both = read_member(folder, "tiny", key("RND-like-MAD", emotion="joy+anger", seed=0).id)
    parts = [read_member(folder, "tiny", key("RND-like-MAD", emotion=e, seed=0).id) for e in ("joy", "anger")]
    np.testing.assert_array_equal(both, parts[0] | parts[1])


def test_pooled_corpora_give_the_poorest_one_s_number_of_shared_emotions(folder: StoreFolder) -> None:
    shared = ("anger", "joy")
    first, two = (firing(corpus, shared, 4, [0, 1, 2]) for corpus in EMOTIONS)
    expected = chosen(Firing(shared, first.K + two.K, first.T + two.T), "MAD", "joy")
    pooled = key("MAD", corpus="one+two")
    np.testing.assert_array_equal(read_member(folder, "tiny", pooled.id), expected)


def test_random_masks_keep_their_draw_and_controls_of_unions_have_independent_draws(folder: StoreFolder) -> None:
    single, joy, anger, both = (read_member(folder, "tiny", k.id) for k in KEYS[-4:])
    np.testing.assert_array_equal(single, random_mask(LAYERS, WIDTH, BUDGET, 9, "tiny", 0))
    assert len({mask.tobytes() for mask in (single, joy, anger)}) == 3
    np.testing.assert_array_equal(both, joy | anger)
    assert joy.sum() == anger.sum() == BUDGET


def test_the_store_s_table_says_what_every_mask_means(folder: StoreFolder) -> None:
    assert list(read_mask_keys(folder, "tiny").values()) == KEYS
    assert all(id == mask.id for id, mask in read_mask_keys(folder, "tiny").items())
    assert set(read_masks(folder, "tiny").id) == {mask.id for mask in KEYS}

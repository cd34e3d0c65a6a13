"""Which utterances count, and that their counts are summed exactly whatever the blocks."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.errors import UserError
from esn_dist.selection.count_sums import sum_blocks
from esn_dist.selection.firing import Firing, pooled_firing
from esn_dist.selection.identification_sets import IdentificationSet, NothingIdentified, identification_set
from esn_dist.terms import T_NOT_WRITTEN

EMOTIONS = ("anger", "joy")


def test_the_first_correct_ones_of_each_emotion_count_and_the_poorest_decides_how_many() -> None:
    labels = ["anger", "joy", "anger", "anger", "joy", "anger"]
    correct = np.array([False, True, True, True, True, True])
    chosen = identification_set(labels, correct, EMOTIONS)
    assert chosen.code.tolist() == [-1, 1, 0, 0, 1, -1]
    assert (chosen.available, chosen.size, chosen.requested) == ((3, 2), 2, None)


def test_a_cap_and_a_size_limit_every_emotion() -> None:
    labels, correct = ["anger", "joy"] * 5, np.ones(10, bool)
    assert identification_set(labels, correct, EMOTIONS, cap=3).size == 3
    assert identification_set(labels, correct, EMOTIONS, size=2, cap=3).size == 2


def test_a_size_beyond_the_pool_is_shrunk_and_says_so() -> None:
    chosen = identification_set(["anger", "joy", "joy"], np.ones(3, bool), EMOTIONS, size=2)
    assert (chosen.size, chosen.requested) == (1, 2)


def test_an_emotion_never_answered_correctly_is_named() -> None:
    with pytest.raises(NothingIdentified, match="'joy'") as caught:
        identification_set(["anger", "joy"], np.array([True, False]), EMOTIONS)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), NothingIdentified)


def test_a_size_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="size 0"):
        identification_set(["anger", "joy"], np.ones(2, bool), EMOTIONS, size=0)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), max_size=3), st.sets(st.integers(0, 2), min_size=1))
def test_sums_are_exact_and_do_not_depend_on_the_blocks(seed: int, cuts: list[int], parts: set[int]) -> None:
    random = np.random.default_rng(seed)
    T = random.integers(1, 60000, (9, 3), dtype=np.uint16)
    K = random.integers(0, T[:, :, None, None] + 1, (9, 3, 2, 4)).astype(np.uint16)
    code = np.array([0, 1, *random.integers(-1, 2, 7)], np.int8)
    borders = sorted({0, 9, *cuts})
    blocks = ((K[a:b], T[a:b]) for a, b in pairwise(borders))
    firing = sum_blocks(IdentificationSet(EMOTIONS, (9, 9), None, 9, code), blocks, sorted(parts))
    for emotion in range(2):
        rows = [row for row in range(9) if code[row] == emotion]
        assert firing.T[emotion] == sum(int(T[row, part]) for row in rows for part in parts)
        for layer, neuron in np.ndindex(2, 4):
            expected = sum(int(K[row, part, layer, neuron]) for row in rows for part in parts)
            assert firing.K[emotion, layer, neuron] == expected


def _one_row_each(T: list[list[int]]) -> tuple[IdentificationSet, list[tuple[np.ndarray, np.ndarray]]]:
    counts = np.array(T, np.uint16)
    chosen = IdentificationSet(EMOTIONS, (1, 1), None, 1, np.array([0, 1], np.int8))
    return chosen, [(np.zeros((2, counts.shape[1], 1, 1), np.uint16), counts)]


def test_a_row_that_was_never_written_is_no_count() -> None:
    assert T_NOT_WRITTEN == T_NOT_WRITTEN
    chosen, blocks = _one_row_each([[5, 5], [5, T_NOT_WRITTEN]])
    with pytest.raises(ValueError, match="utterance 1 were never written"):
        sum_blocks(chosen, blocks, [0])


def test_answers_of_one_token_have_no_generated_positions_and_that_is_legal_next_to_others() -> None:
    chosen, blocks = _one_row_each([[5, 0], [7, 0]])
    assert sum_blocks(chosen, blocks, [0, 1]).T.tolist() == [5, 7]
    with pytest.raises(NothingIdentified, match="no position in the counted parts"):
        sum_blocks(chosen, blocks, [1])


def test_a_missing_block_is_not_silently_less_data() -> None:
    chosen, blocks = _one_row_each([[5], [5]])
    with pytest.raises(ValueError, match="hold 0 utterances"):
        sum_blocks(chosen, [], [0])
    with pytest.raises(ValueError, match="hold 4 utterances"):
        sum_blocks(chosen, blocks * 2, [0])


def test_more_firings_than_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="more than T"):
        Firing(EMOTIONS, np.full((2, 1, 1), 3), np.array([2, 4]))


def test_pooled_counts_are_those_of_all_utterances_at_once() -> None:
    random = np.random.default_rng(3)
    T = random.integers(1, 50, (8, 1), dtype=np.uint16)
    K = random.integers(0, T[:, :, None, None] + 1, (8, 1, 2, 4)).astype(np.uint16)
    code = np.array([0, 1, -1, 1, 0, 1, 0, -1], np.int8)

    def firing(rows: slice) -> Firing:
        return sum_blocks(IdentificationSet(EMOTIONS, (4, 4), None, 4, code[rows]), [(K[rows], T[rows])], [0])

    both, whole = pooled_firing([firing(slice(0, 4)), firing(slice(4, 8))]), firing(slice(0, 8))
    np.testing.assert_array_equal(both.K, whole.K)
    np.testing.assert_array_equal(both.T, whole.T)


def test_corpora_of_other_emotions_are_not_summed() -> None:
    single = Firing(EMOTIONS, np.zeros((2, 1, 1), np.int64), np.array([1, 1]))
    with pytest.raises(ValueError, match="different emotions"):
        pooled_firing([single, Firing(("anger", "sadness"), single.K, single.T)])


def test_an_experts_probability_is_over_the_positions_that_were_sent_to_it() -> None:
    """Two layers of two experts of two neurons; joy was never sent to the second expert of layer 1."""
    random = np.random.default_rng(3)
    T = random.integers(1, 5, (4, 3, 2, 2)).astype(np.uint16)
    T[2:, :, 1, 1] = 0
    K = random.binomial(np.repeat(T, 2, axis=3), 0.5).astype(np.uint16)
    chosen = IdentificationSet(EMOTIONS, (2, 2), None, 2, np.array([0, 0, 1, 1], np.int8))
    firing = sum_blocks(chosen, [(K[:1], T[:1]), (K[1:], T[1:])], [0, 2])
    for emotion, rows in enumerate(([0, 1], [2, 3])):
        for layer in range(2):
            for neuron in range(4):
                fired = sum(int(K[row, part, layer, neuron]) for row in rows for part in (0, 2))
                sent = sum(int(T[row, part, layer, neuron // 2]) for row in rows for part in (0, 2))
                expected = fired / sent if sent else np.nan
                np.testing.assert_equal(firing.probability[emotion, layer, neuron], expected)
    assert firing.comparable.tolist() == [[True] * 4, [True, True, False, False]]
    assert pooled_firing([firing, firing]).T.tolist() == (2 * firing.T).tolist()


def test_counts_of_experts_that_do_not_divide_the_gates_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Firing(EMOTIONS, np.zeros((2, 1, 5), np.int64), np.ones((2, 1, 2), np.int64))
    with pytest.raises(ValueError, match="more than T"):
        Firing(EMOTIONS, np.full((2, 1, 4), 2), np.ones((2, 1, 2), np.int64))

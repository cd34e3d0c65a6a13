"""Tests that the scores of every selector must pass: inherit the class and name the entry.

    from esn_dist.testing.selectors import SelectorConformance

    class TestMine(SelectorConformance):
        entry = MINE

Counts are drawn from a fixed seed; no store and no model is needed. Shapes: E emotions, L layers, N neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from esn_dist.selection.firing import Firing
from esn_dist.selection.masks import random_mask, top_neurons
from esn_dist.selection.selection_input import Scores, SelectionInput, UtteranceCounts, compute_scores
from esn_dist.sweep.selectors import Selector

EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
LAYERS, WIDTH, SHARDS, UTTERANCES, POSITIONS, PLANTED = 4, 64, 2, 8, 1000, 6
ROUNDING = 1e-9  # relative: sums of floats in another order


class SelectorConformance:
    """The promises of a selector's scores.

    Attributes:
        entry: the selector under test, scored by its own function.
    """

    entry: Selector

    @pytest.fixture
    def random(self) -> np.random.Generator:
        """Draws everything that a test needs."""
        return np.random.default_rng(5)

    def statistics(self, random: np.random.Generator) -> dict[str, npt.NDArray[np.float64]]:
        """The further statistics that the entry declares, each [E, L, N]; override it where they must agree with K."""
        return {name: random.random((len(EMOTIONS), LAYERS, WIDTH)) for name in self.entry.statistics}

    def inputs(self, random: np.random.Generator, P_ELN: npt.NDArray[np.float64]) -> SelectionInput:
        """Counts of some shards of utterances per emotion whose gates fire with probability `P_ELN`."""
        blocks = []
        for emotion in np.repeat(np.arange(len(P_ELN)), SHARDS):
            T_U = random.integers(POSITIONS // 2, POSITIONS, UTTERANCES).astype(np.uint32)
            K_ULN = random.binomial(T_U[:, None, None], P_ELN[emotion]).astype(np.uint32)
            blocks.append(UtteranceCounts(int(emotion), K_ULN, T_U))
        return _summed(blocks, self.statistics(random))

    def scores(self, inputs: Firing) -> Scores:
        """Of the entry."""
        return compute_scores(self.entry, inputs)

    def test_every_neuron_has_a_score_for_every_emotion_and_none_is_nan(self, random: np.random.Generator) -> None:
        scores = self.scores(self.inputs(random, _background(random)))
        assert scores.shape == (len(EMOTIONS), LAYERS, WIDTH)
        assert scores.dtype == np.float64
        assert not np.isnan(scores).any() and not np.isposinf(scores).any()

    def test_a_neuron_that_never_fires_is_never_selected(self, random: np.random.Generator) -> None:
        P_ELN = _background(random)
        P_ELN[:, 1, 7] = 0
        assert np.isneginf(self.scores(self.inputs(random, P_ELN))[:, 1, 7]).all()

    def test_the_same_counts_give_the_same_bits_and_stay_as_they_are(self, random: np.random.Generator) -> None:
        inputs = self.inputs(random, _background(random))
        before = inputs.K.copy(), inputs.T.copy()
        np.testing.assert_array_equal(self.scores(inputs), self.scores(inputs))
        np.testing.assert_array_equal(inputs.K, before[0])
        np.testing.assert_array_equal(inputs.T, before[1])

    def test_another_order_of_the_emotions_permutes_the_scores(self, random: np.random.Generator) -> None:
        inputs, order = self.inputs(random, _background(random)), [3, 0, 4, 1, 2]
        blocks = [UtteranceCounts(order.index(b.emotion), b.K, b.T) for b in _blocks(inputs)]
        permuted = _summed(blocks, {name: values[order] for name, values in inputs.statistics.items()})
        _assert_same(self.scores(permuted), self.scores(inputs)[order])

    def test_another_order_of_the_shards_gives_the_same_scores(self, random: np.random.Generator) -> None:
        inputs = self.inputs(random, _background(random))
        _assert_same(self.scores(_summed(list(_blocks(inputs))[::-1], inputs.statistics)), self.scores(inputs))

    def test_planted_neurons_are_found_and_random_ones_are_not_them(self, random: np.random.Generator) -> None:
        """Of each emotion some neurons fire at 90 % of its positions and hardly anywhere else."""
        P_ELN, planted_ELN = _background(random), np.zeros((len(EMOTIONS), LAYERS, WIDTH), np.bool_)
        for number, flat in enumerate(random.permutation(LAYERS * WIDTH)[: len(EMOTIONS) * PLANTED]):
            planted_ELN[(number % len(EMOTIONS), *np.unravel_index(flat, (LAYERS, WIDTH)))] = True
        P_ELN[:, planted_ELN.any(axis=0)] = 0.001
        P_ELN[planted_ELN] = 0.9
        np.testing.assert_array_equal(top_neurons(self.scores(self.inputs(random, P_ELN)), PLANTED), planted_ELN)
        chance_LN = random_mask(LAYERS, WIDTH, PLANTED, 0, self.entry.name)
        assert not any((chance_LN == of_emotion_LN).all() for of_emotion_LN in planted_ELN)

    def test_an_expert_that_saw_no_position_of_an_emotion_is_never_selected(self, random: np.random.Generator) -> None:
        experts, share = 4, WIDTH // 4
        blocks = []
        for emotion in range(len(EMOTIONS)):
            T_ULX = random.integers(POSITIONS // 2, POSITIONS, (UTTERANCES, LAYERS, experts)).astype(np.uint32)
            T_ULX[:, 1, 2] *= emotion != 3
            K_ULN = random.binomial(np.repeat(T_ULX, share, axis=2), 0.4).astype(np.uint32)
            blocks.append(UtteranceCounts(emotion, K_ULN, T_ULX))
        scores = self.scores(_summed(blocks, self.statistics(random)))
        assert np.isneginf(scores[:, 1, 2 * share : 3 * share]).all()


def _background(random: np.random.Generator) -> npt.NDArray[np.float64]:
    """P[E, L, N] of gates that fire about as often for every emotion."""
    same_LN = random.uniform(0.2, 0.6, (LAYERS, WIDTH))
    return np.broadcast_to(same_LN, (len(EMOTIONS), LAYERS, WIDTH)).copy()


def _blocks(inputs: SelectionInput) -> Iterator[UtteranceCounts]:
    assert inputs.utterance_stream is not None
    return inputs.utterance_stream()


def _summed(blocks: Sequence[UtteranceCounts], statistics: Mapping[str, npt.NDArray[np.float64]]) -> SelectionInput:
    K_ELN = np.zeros((len(EMOTIONS), LAYERS, WIDTH), np.int64)
    T_E = np.zeros((len(EMOTIONS), *blocks[0].T.shape[1:]), np.int64)
    for block in blocks:
        K_ELN[block.emotion] += block.K.sum(axis=0, dtype=np.int64)
        T_E[block.emotion] += block.T.sum(axis=0, dtype=np.int64)
    return SelectionInput(EMOTIONS, K_ELN, T_E, lambda: iter(blocks), statistics)


def _assert_same(scores: Scores, expected: Scores) -> None:
    np.testing.assert_array_equal(np.isfinite(scores), np.isfinite(expected))
    np.testing.assert_allclose(scores, expected, rtol=ROUNDING, atol=0)

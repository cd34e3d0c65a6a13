"""The selectors against a hand-computed example, a slow exact reference, and planted neurons."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esn_dist.errors import UserError
from esn_dist.selection.firing import Firing
from esn_dist.selection.masks import top_neurons
from esn_dist.selection.scores import conact, lap, lape, lape_filtered, mad
from esn_dist.selection.selection_input import Scores, SelectionInput, compute_scores, scores_of
from esn_dist.sweep.selectors import LOGGED_STATISTICS, SELECTORS, Selector
from esn_dist.testing.selectors import SelectorConformance

GLOSSARY = Path(__file__).parents[2] / "docs/glossary.md"

NEVER = -math.inf
HALF_A_DIGIT = 5.01e-12  # what rounding to 12 significant digits may move a score by


def _firing(K: list[list[int]], T: list[int]) -> Firing:
    """One layer; K[emotion][neuron]."""
    return Firing(tuple("abcdefgh"[: len(T)]), np.array(K, np.int64)[:, None, :], np.array(T, np.int64))


class TestLap(SelectorConformance):
    entry = SELECTORS["LAP"]


class TestLape(SelectorConformance):
    entry = SELECTORS["LAPE"]


class TestMad(SelectorConformance):
    entry = SELECTORS["MAD"]


class TestConAct(SelectorConformance):
    entry = SELECTORS["ConAct"]


class TestLapeFiltered(SelectorConformance):
    entry = SELECTORS["LAPE-filtered"]


def least_certain(inputs: SelectionInput) -> Scores:
    """The smallest P of any single utterance of the emotion, less the largest of the others': reads utterances."""
    low, high = np.full(inputs.K.shape, np.inf), np.zeros(inputs.K.shape)
    for block in inputs.utterances():
        T = block.T[:, None, None] if block.T.ndim == 1 else np.repeat(block.T, block.K.shape[2] // block.T.shape[2], 2)
        P = block.K / np.maximum(T, 1)
        low[block.emotion] = np.minimum(low[block.emotion], P.min(axis=0))
        high[block.emotion] = np.maximum(high[block.emotion], P.max(axis=0))
    others = np.stack([np.delete(high, e, axis=0).max(axis=0) for e in range(len(high))])
    return np.where((inputs.K > 0) & inputs.comparable, low - others, -np.inf)


BY_UTTERANCE = Selector("by-utterance", "min P - max P of others", f"{__name__}:least_certain", needs_utterances=True)


class TestASelectorOfSingleUtterances(SelectorConformance):
    entry = BY_UTTERANCE


@pytest.mark.parametrize("name", [name for name in SELECTORS if SELECTORS.provider(name) is None])
def test_no_selector_forgets_what_another_module_needs(name: str) -> None:
    """One pass over the registry; the message names what is missing."""
    entry = SELECTORS[name]
    assert entry.name == name, "the entry has another name than its place in the registry"
    assert callable(resolve_name(entry.scores)), "`scores` names no function"
    assert entry.formula, "reports print an empty formula"
    assert set(entry.statistics) <= set(LOGGED_STATISTICS), "no store has these statistics"
    tested = [test.entry for test in SelectorConformance.__subclasses__() if hasattr(test, "entry")]
    assert any(entry is other for other in tested), "no class inherits SelectorConformance for it"
    assert f"| {name} |" in GLOSSARY.read_text(encoding="utf-8"), "docs/glossary.md has no line for it"


def test_a_selector_that_needs_more_than_sums_is_refused_where_only_sums_are_known() -> None:
    with pytest.raises(UserError, match="'by-utterance' needs the counts of single utterances"):
        compute_scores(BY_UTTERANCE, BY_HAND)
    with pytest.raises(UserError, match="needs the statistics mean_gate, which this store does not have"):
        compute_scores(replace(BY_UTTERANCE, needs_utterances=False, statistics=("mean_gate",)), BY_HAND)


# P: neuron 0 = (.5, .1, .2), 1 = (.2, .2, .1) shared, 2 silent, 3 = (.3, .3, .3), 4 = (0, .4, 0)
BY_HAND = _firing([[5, 2, 0, 3, 0], [2, 4, 0, 6, 8], [2, 1, 0, 3, 0]], [10, 20, 10])


def test_lap_by_hand() -> None:
    expected = [[0.5, 0.2, NEVER, 0.3, NEVER], [0.1, 0.2, NEVER, 0.3, 0.4], [0.2, 0.1, NEVER, 0.3, NEVER]]
    assert lap(BY_HAND)[:, 0].tolist() == expected


def test_lape_by_hand() -> None:
    entropy = -(0.625 * math.log(0.625) + 0.125 * math.log(0.125) + 0.25 * math.log(0.25))
    scores = lape(BY_HAND)[:, 0]
    assert scores[0, 0] == pytest.approx(-entropy, rel=1e-11)
    assert scores[1, 4] == 0
    assert np.isfinite(scores).sum() == 2


def test_mad_by_hand() -> None:
    scores = mad(BY_HAND)[:, 0]
    assert scores[:, 0].tolist() == pytest.approx([7 / 30, 5 / 30, 2 / 30], rel=1e-11)
    assert scores[:, 4].tolist() == pytest.approx([4 / 30, 8 / 30, 4 / 30], rel=1e-11)
    assert (scores[:, [2, 3]] == NEVER).all()


def test_conact_by_hand() -> None:
    scores = conact(BY_HAND)[:, 0]
    assert scores[0, 0] == 0.3 and scores[1, 4] == 0.4
    assert np.isfinite(scores).sum() == 2


def test_a_neuron_shared_by_two_emotions_belongs_to_none() -> None:
    # A third of 300,000 and of 900,000 positions; one firing less for the third emotion.
    firing = _firing([[100_000], [300_000], [99_999]], [300_000, 900_000, 300_000])
    assert (lape(firing) == NEVER).all() and (conact(firing) == NEVER).all()


def test_a_deviation_that_only_rounding_makes_is_not_eligible() -> None:
    # P = 1/10, 2/10, 3/10: the mean is exactly the second emotion's, which floats miss by 2^-54.
    firing = _firing([[1], [2], [3]], [10, 10, 10])
    assert abs(0.2 - (0.1 + 0.2 + 0.3) / 3) > 0
    assert mad(firing)[1, 0, 0] == NEVER


def test_mad_chooses_neurons_that_fire_less() -> None:
    scores = mad(_firing([[0, 5], [9, 4], [9, 4]], [10, 10, 10]))
    assert top_neurons(scores, 1)[0, 0].tolist() == [True, False]


def test_the_original_filters_pass_over_gates_that_almost_never_fire() -> None:
    """40 gates: 37 fire once, for one emotion alone (entropy 0, LAPE's first); the last three fire often for some."""
    rare, often = [[1] * 37, [0] * 37], [[90, 80, 5], [10, 80, 95]]
    firing = _firing([rare[e] + often[e] for e in range(2)], [100, 100])
    assert np.flatnonzero(top_neurons(lape(firing), 2)[0]).tolist() == [0, 1]
    # The 76th of 80 probabilities is 0.1: both emotions own gate 38, which LAPE's arg-max gives to none.
    assert np.flatnonzero(top_neurons(lape_filtered(firing), 2)[0]).tolist() == [37, 38]
    assert np.flatnonzero(top_neurons(lape_filtered(firing), 2)[1]).tolist() == [38, 39]


@pytest.mark.parametrize("name", SELECTORS)
def test_full_size_counts_stay_exact(name: str) -> None:
    """Coprime T of full-size runs: common denominators beyond 64 bits."""
    T = [350_003, 299_993, 410_009, 380_041, 361_003]
    K = [[t // 3, t // 7 + e, 1] for e, t in enumerate(T)]
    firing = _firing(K, T)
    np.testing.assert_allclose(scores_of(name, firing)[:, 0], _slow(name, K, T), rtol=HALF_A_DIGIT, atol=0)


@st.composite
def _counts(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    T = draw(st.lists(st.integers(1, 12), min_size=2, max_size=5))
    neurons = draw(st.integers(1, 8))
    return [draw(st.lists(st.integers(0, t), min_size=neurons, max_size=neurons)) for t in T], T


@settings(max_examples=150)
@given(_counts(), st.sampled_from(sorted(SELECTORS)))
def test_scores_equal_the_slow_reference(counts: tuple[list[list[int]], list[int]], name: str) -> None:
    K, T = counts
    scores, reference = scores_of(name, _firing(K, T))[:, 0], np.array(_slow(name, K, T))
    np.testing.assert_array_equal(np.isfinite(scores), np.isfinite(reference))
    np.testing.assert_allclose(scores, reference, rtol=HALF_A_DIGIT, atol=0)


@settings(max_examples=150)
@given(_counts(), st.integers(1, 9), st.sampled_from(["LAP", "MAD", "ConAct"]))
def test_masks_equal_an_exact_ranking(counts: tuple[list[list[int]], list[int]], budget: int, name: str) -> None:
    """Small counts: fractions that differ do so far above the 12th digit, so exact order and rounded order agree."""
    K, T = counts
    exact = _exact(name, K, T)
    mask = top_neurons(scores_of(name, _firing(K, T)), budget)[:, 0]
    for emotion, scores in enumerate(exact):
        eligible = sorted((i for i, s in enumerate(scores) if s != NEVER), key=lambda i: (-scores[i], i))
        assert np.flatnonzero(mask[emotion]).tolist() == sorted(eligible[:budget])


def _slow(name: str, K: list[list[int]], T: list[int]) -> list[list[float]]:
    return [[float(score) for score in of_emotion] for of_emotion in _exact(name, K, T)]


def _exact(name: str, K: list[list[int]], T: list[int]) -> list[list[Fraction | float]]:
    """The equations, word for word, in rationals: one emotion and one neuron after the other."""
    P = [[Fraction(k, t) for k in of_emotion] for of_emotion, t in zip(K, T, strict=True)]
    flat = sorted(p for of_emotion in P for p in of_emotion)
    bar = flat[round(0.95 * len(flat)) - 1]
    return [[_score(name, [row[n] for row in P], e, bar) for n in range(len(K[0]))] for e in range(len(T))]


def _score(name: str, P: list[Fraction], e: int, bar: Fraction) -> Fraction | float:
    largest, second = sorted(P, reverse=True)[:2]
    never: Fraction | float = NEVER
    alone = P[e] == largest != second
    if name == "LAP":
        return P[e] or never
    if name == "MAD":
        return abs(P[e] - sum(P, Fraction(0)) / len(P)) or never
    if name == "ConAct":
        return largest - second if alone else never
    belongs = P[e] > bar if name == "LAPE-filtered" else alone
    return sum(float(p / sum(P)) * math.log(p / sum(P)) for p in P if p) if belongs else never


@pytest.mark.parametrize("name", ["LAP", "LAPE", "MAD", "ConAct"])
def test_each_expert_is_scored_as_a_dense_layer_with_its_own_positions(name: str) -> None:
    random = np.random.default_rng(11)
    layers, experts, share = 2, 3, 5
    T = random.integers(1, 40, (3, layers, experts))
    T[1, 0, 2] = 0
    K = random.binomial(np.repeat(T, share, axis=2), 0.4)
    scores = scores_of(name, Firing(("a", "b", "c"), K, T))
    for layer in range(layers):
        for expert in range(experts):
            neurons = slice(expert * share, (expert + 1) * share)
            if not T[:, layer, expert].all():
                assert np.isneginf(scores[:, layer, neurons]).all(), (
                    "an emotion that an expert never saw is no evidence"
                )
                continue
            alone = Firing(("a", "b", "c"), K[:, layer : layer + 1, neurons], T[:, layer, expert])
            np.testing.assert_array_equal(scores[:, layer, neurons], scores_of(name, alone)[:, 0])


def test_the_filters_bar_passes_over_probabilities_that_do_not_exist() -> None:
    T = np.array([[[50, 0]], [[50, 50]]])
    K = np.array([[[40, 1, 2, 0, 0, 0]], [[1, 2, 3, 45, 45, 45]]])
    scores = lape_filtered(Firing(("a", "b"), K, T))
    assert np.isneginf(scores[:, :, 3:]).all()

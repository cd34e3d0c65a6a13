"""Budgets as written, ties by place, random masks from hashes."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from esn_dist.errors import UserError
from esn_dist.selection.masks import budget, layer_matched_mask, random_mask, top_neurons


def test_the_paper_s_budget() -> None:
    assert budget("0.005", 28 * 18944) == 2652  # 2652.16


@pytest.mark.parametrize(("fraction", "neurons", "count"), [("0.005", 100, 1), ("0.005", 300, 2), ("1", 7, 7)])
def test_half_a_neuron_rounds_up(fraction: str, neurons: int, count: int) -> None:
    assert budget(fraction, neurons) == count


def test_the_decimal_that_was_written_counts_not_its_float() -> None:
    # 0.145 as a float is 0.14499999..., which would round to 14.
    assert budget(Decimal("0.145"), 100) == 15


@pytest.mark.parametrize("fraction", ["0", "-0.1", "1.1", "NaN", "Infinity", "half"])
def test_a_fraction_outside_0_to_1_is_refused(fraction: str) -> None:
    with pytest.raises(UserError, match="fraction"):
        budget(fraction, 100)


def test_a_budget_of_no_neuron_is_refused() -> None:
    with pytest.raises(UserError, match="selects none"):
        budget("0.001", 100)


def test_ties_go_to_the_lower_layer_then_index() -> None:
    scores = np.zeros((1, 3, 4))
    scores[0, 2, 3] = 1
    assert np.argwhere(top_neurons(scores, 3)[0]).tolist() == [[0, 0], [0, 1], [2, 3]]


def test_a_mask_is_smaller_than_its_budget_where_too_few_are_eligible() -> None:
    scores = np.full((2, 1, 4), -np.inf)
    scores[0, 0, 2] = -3.0
    assert top_neurons(scores, 3).sum(axis=(1, 2)).tolist() == [1, 0]


def test_nan_is_never_ranked() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top_neurons(np.array([[[0.0, np.nan]]]), 1)


@given(st.integers(1, 4), st.integers(1, 9), st.data())
def test_a_random_mask_has_exactly_its_budget_and_repeats(layers: int, width: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, layers * width))
    mask = random_mask(layers, width, size, 1, "model", 0)
    assert mask.shape == (layers, width) and mask.sum() == size
    np.testing.assert_array_equal(mask, random_mask(layers, width, size, 1, "model", 0))


def test_random_masks_of_other_seeds_differ_and_cover_all_neurons_evenly() -> None:
    masks = np.array([random_mask(3, 20, 12, 7, "model", number) for number in range(400)])
    assert len(np.unique(masks.reshape(400, -1), axis=0)) == 400
    # Sampling without replacement spreads less than the test assumes, so it rejects even less often than 1 in 1000.
    assert stats.chisquare(masks.sum(axis=0).ravel()).pvalue > 0.001


def test_a_budget_larger_than_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        random_mask(2, 3, 7, 0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 9))
def test_a_layer_matched_mask_has_as_many_neurons_of_every_layer_and_no_others_by_rule(
    seed: int, layers: int, width: int
) -> None:
    member = np.random.default_rng(seed).random((layers, width)) < 0.3
    mask = layer_matched_mask(member, seed, "anger")
    np.testing.assert_array_equal(mask.sum(axis=1), member.sum(axis=1))
    np.testing.assert_array_equal(mask, layer_matched_mask(member, seed, "anger"))


def test_layer_matched_masks_are_uniform_within_a_layer() -> None:
    member = np.zeros((2, 20), bool)
    member[1, :5] = True
    drawn = sum(layer_matched_mask(member, seed).astype(int) for seed in range(2_000))
    assert np.asarray(drawn)[0].sum() == 0
    assert stats.chisquare(np.asarray(drawn)[1]).pvalue > 0.001

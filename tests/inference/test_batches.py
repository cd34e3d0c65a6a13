"""Batches: every prompt once, none above the budget, the same groups whatever the order of arrival."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.inference.batches import compose, pad
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.terms import UNCOUNTED, Part

lengths = st.lists(st.integers(1, 500), max_size=60)


@given(lengths, st.integers(1, 1_000))
def test_every_prompt_is_in_exactly_one_group_and_no_group_exceeds_the_budget(sizes: list[int], budget: int) -> None:
    groups = compose(sizes, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(sizes[i] for i in group) <= budget


@given(lengths, st.integers(1, 1_000))
def test_groups_run_from_short_to_long_so_padding_stays_small(sizes: list[int], budget: int) -> None:
    ordered = [sizes[i] for group in compose(sizes, budget) for i in group]
    assert ordered == sorted(ordered)


@given(lengths, st.integers(1, 1_000))
def test_a_group_is_closed_only_when_the_next_prompt_does_not_fit(sizes: list[int], budget: int) -> None:
    groups = compose(sizes, budget)
    for group, following in pairwise(groups):
        assert (len(group) + 1) * sizes[following[0]] > budget


@given(st.permutations(range(12)), st.integers(10, 100))
def test_the_lengths_of_the_groups_do_not_depend_on_the_order_of_arrival(order: list[int], budget: int) -> None:
    sizes = [3, 3, 5, 8, 13, 21, 21, 21, 34, 55, 89, 144]
    shuffled = [sizes[i] for i in order]
    expected = [[sizes[i] for i in group] for group in compose(sizes, budget)]
    assert [[shuffled[i] for i in group] for group in compose(shuffled, budget)] == expected


def test_padding_is_on_the_right_is_of_no_part_and_is_not_valid(omni: Qwen25Omni) -> None:
    prompts = [omni.prompt(rows, "Which?") for rows in (1, 4)]
    rows = [torch.ones(1, 32), 2 * torch.ones(4, 32)]
    batch = pad(omni, prompts, rows)
    short, long = batch.length_B.tolist()
    assert long == short + 3 == batch.part_BL.shape[1]
    assert batch.valid_BL.sum(1).tolist() == [short, long]
    assert (batch.part_BL[0, short:] == UNCOUNTED).all()
    assert not batch.embedded_BLD[0, short:].any()
    assert torch.equal(batch.embedded_BLD[1][batch.part_BL[1] == Part.AUDIO], rows[1])
    text_L = np.asarray(prompts[0].part_L) != Part.AUDIO
    expected = omni.embedding(torch.as_tensor(prompts[0].ids_L[text_L]))
    assert torch.equal(batch.embedded_BLD[0, :short][torch.as_tensor(text_L)], expected)

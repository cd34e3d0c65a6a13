"""Prompts of odd sets: no readable clip, a single clip; and a fetch of counts that keeps no prompts."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from esn_dist.gates.find import find_gates
from esn_dist.gates.mix import Mix
from esn_dist.inference.packed.engine import make_engine
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.terms import T_NOT_WRITTEN, Outcome
from esn_dist.worker.prompt_batches import PromptBatches

ORDER = ("joy", "anger", "neutral")


def prompt_batches(omni: Qwen25Omni, rows: list[torch.Tensor | None], packed: bool = True) -> PromptBatches:
    return PromptBatches(make_engine(omni, packed=packed), rows, [ORDER] * len(rows), ORDER, ORDER, 400)


def clip(rows: int) -> torch.Tensor:
    return torch.randn(rows, 32, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("unreadable", [0, 1, 3])
def test_a_set_of_unreadable_clips_has_outcomes_and_no_numbers(omni: Qwen25Omni, unreadable: int) -> None:
    prompts = prompt_batches(omni, [None] * unreadable)
    for rows in (prompts.answer(2), prompts.answer(2, counted=find_gates(omni.decoder))):
        assert rows.outcome.tolist() == [Outcome.UNREADABLE] * unreadable and rows.answer.tolist() == [-1] * unreadable
        assert np.isnan(rows.logprob).all() and rows.text == [""] * unreadable
    assert rows.T is not None and (rows.T == T_NOT_WRITTEN).all()
    assert rows.K is not None and not rows.K.any()


@pytest.mark.parametrize("new", [1, 3])
def test_a_single_clip_is_answered_as_by_the_padded_engine(omni: Qwen25Omni, new: int) -> None:
    alone, padded = (prompt_batches(omni, [None, clip(9)], packed).answer(new) for packed in (True, False))
    assert alone.text == padded.text and alone.outcome.tolist() == padded.outcome.tolist()
    np.testing.assert_allclose(alone.logprob, padded.logprob, atol=2e-5)


def test_fetching_counts_keeps_no_prompts(omni: Qwen25Omni) -> None:
    """They are fetched while the next unit's prompts are on the device."""
    prompts = prompt_batches(omni, [clip(9), clip(4)])
    batch = weakref.ref(prompts.batches[0][1])
    assert not prompts.batches[0][1].embedded_TD.requires_grad
    fetch = prompts.answer_and_count(2, find_gates(omni.decoder))
    del prompts
    gc.collect()
    assert batch() is None
    rows = fetch()
    assert rows.T is not None and rows.T[:, 0].tolist() == [9, 4]


def test_counting_and_mixing_at_once_is_refused_not_half_done(omni: Qwen25Omni) -> None:
    gates = find_gates(omni.decoder)
    mix = Mix(gates, np.ones((2, len(gates), gates[0].width), bool), 0.5, 0.1)
    with pytest.raises(ValueError, match="not both"):
        prompt_batches(omni, [clip(3)]).answer(2, counted=gates, transform=mix)

"""Batched equals single, and both equal transformers' `generate`; a row that cannot be answered says so."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import PaddedBatch, pad
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.terms import Part

SHORT, LONG = (1, 2, 3, 2), (70, 75, 72, 71)
MIXED = (1, 90, 4, 33, 2, 75)
NEW = 6


def batch_of(omni: Qwen25Omni, sizes: tuple[int, ...]) -> PaddedBatch:
    """Prompts with `sizes` random audio rows; equal sizes differ by their rows."""
    rows = [torch.randn(n, 32, generator=torch.Generator().manual_seed(100 * i + n)) for i, n in enumerate(sizes)]
    return pad(omni, [omni.prompt(n, "Which?" * (1 + n % 3)) for n in sizes], rows)


def row_of(batch: PaddedBatch, row: int) -> PaddedBatch:
    """One row alone, without its padding."""
    length = int(batch.length_B[row])
    return PaddedBatch(
        batch.embedded_BLD[row : row + 1, :length], batch.part_BL[row : row + 1, :length], batch.length_B[row : row + 1]
    )


def every_token(omni: Qwen25Omni, rows: int) -> Tensor:
    return torch.arange(omni.thinker.vocab_size).expand(rows, -1)


def answer_all(
    omni: Qwen25Omni, batch: PaddedBatch, new: int = NEW, counter: ActivationCounter | None = None
) -> BatchAnswers:
    return answer(omni, batch, every_token(omni, len(batch.length_B)), new, counter)


@pytest.mark.parametrize("sizes", [SHORT, LONG, MIXED], ids=["short", "long", "mixed"])
def test_batched_equals_single(omni: Qwen25Omni, sizes: tuple[int, ...]) -> None:
    batch = batch_of(omni, sizes)
    together = answer_all(omni, batch)
    for row in range(len(sizes)):
        alone = answer_all(omni, row_of(batch, row))
        assert together.tokens[row] == alone.tokens[0]
        np.testing.assert_allclose(together.logprob_BO[row], alone.logprob_BO[0], atol=2e-5)
    assert len({tuple(t) for t in together.tokens}) > 1


@settings(max_examples=8)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6))
def test_batched_equals_single_with_any_other_rows_in_the_batch(omni: Qwen25Omni, sizes: list[int]) -> None:
    batch = batch_of(omni, tuple(sizes))
    together = answer_all(omni, batch)
    assert together.tokens == [answer_all(omni, row_of(batch, row)).tokens[0] for row in range(len(sizes))]


@pytest.mark.parametrize("sizes", [SHORT, LONG, MIXED], ids=["short", "long", "mixed"])
def test_answers_equal_generates_on_single_items(omni: Qwen25Omni, sizes: tuple[int, ...]) -> None:
    batch = batch_of(omni, sizes)
    ours = answer_all(omni, batch)
    for row in range(len(sizes)):
        single = row_of(batch, row)
        output = omni.thinker.generate(
            inputs_embeds=single.embedded_BLD, attention_mask=single.valid_BL, max_new_tokens=NEW, do_sample=False,
            repetition_penalty=1.0, eos_token_id=list(omni.stop_ids), pad_token_id=omni.stop_ids[1],
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        generated = output.sequences[0].tolist()
        assert ours.tokens[row] == list(itertools.takewhile(lambda token: token not in omni.stop_ids, generated))
        expected_V = output.logits[0][0].log_softmax(-1).numpy()
        np.testing.assert_allclose(ours.logprob_BO[row], expected_V, atol=2e-5)


def test_an_answer_stops_at_its_own_stop_token_and_others_go_on(omni: Qwen25Omni) -> None:
    """The third token of a row becomes a stop token: that row ends after two, the others where they generate it."""
    batch = batch_of(omni, MIXED)
    free = answer_all(omni, batch)
    stop = free.tokens[0][2]
    stop_ids, omni.stop_ids = omni.stop_ids, (stop,)
    try:
        stopped = answer_all(omni, batch)
    finally:
        omni.stop_ids = stop_ids
    for ours, whole in zip(stopped.tokens, free.tokens, strict=True):
        assert ours == list(itertools.takewhile(lambda token: token != stop, whole))


@pytest.mark.parametrize("new", [1, 2, NEW])
def test_no_answer_has_more_new_tokens_than_allowed(omni: Qwen25Omni, new: int) -> None:
    assert max(len(t) for t in answer_all(omni, batch_of(omni, MIXED), new).tokens) == new


def test_a_row_with_a_non_finite_logit_is_flagged_and_its_neighbours_are_not_touched(omni: Qwen25Omni) -> None:
    batch = batch_of(omni, MIXED)
    expected = answer_all(omni, batch)
    batch.embedded_BLD[2, 3] = torch.inf
    answers = answer_all(omni, batch)
    assert answers.finite_B.tolist() == [True, True, False, True, True, True]
    assert answers.tokens[2] == []
    others = [0, 1, 3, 4, 5]
    assert [answers.tokens[i] for i in others] == [expected.tokens[i] for i in others]
    np.testing.assert_allclose(answers.logprob_BO[others], expected.logprob_BO[others], atol=2e-5)


def test_padding_content_never_matters(omni: Qwen25Omni) -> None:
    batch = batch_of(omni, MIXED)
    expected = answer_all(omni, batch)
    batch.embedded_BLD[~batch.valid_BL.bool()] = 1e3
    answers = answer_all(omni, batch)
    assert answers.tokens == expected.tokens
    assert np.array_equal(answers.logprob_BO, expected.logprob_BO)


def test_counts_of_a_batch_equal_those_of_its_rows_alone_decode_steps_included(omni: Qwen25Omni) -> None:
    gates = find_gates(omni.decoder)

    def counted(batch: PaddedBatch) -> tuple[BatchAnswers, ActivationCounter]:
        counter = ActivationCounter(gates, len(batch.length_B), len(Part))
        with counter.hooks():
            return answer_all(omni, batch, counter=counter), counter

    batch = batch_of(omni, MIXED)
    answers, together = counted(batch)
    K, T = together.result()
    for row in range(len(MIXED)):
        _, alone = counted(row_of(batch, row))
        K_alone, T_alone = alone.result()
        assert T[row].tolist() == T_alone[0].tolist()
        # A gate within rounding of zero may fall on either side in another batch shape: none does here.
        assert np.array_equal(K[row], K_alone[0])
    assert T[:, Part.AUDIO].tolist() == list(MIXED)
    fed = [min(len(tokens), NEW - 1) for tokens in answers.tokens]  # the last generated token was never fed
    assert T[:, Part.GENERATED].tolist() == fed

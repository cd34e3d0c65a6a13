"""The reference that every adapter is compared with, and the models of the generic one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.audio_lm import AudioLM
from tests.models.random_case import Case
from tests.models.random_models import BUILDERS, drawn
from tests.models.synthetic_inputs import byte_tokenizer, redraw, wave

Item = tuple[int, str]
"""Samples of a clip, and the question."""


def assert_equals_generate(
    lm: AudioLM, model: Any, official: Callable[[int, str], dict[str, Tensor]], items: list[Item], new: int = 8
) -> list[list[int]]:
    """One batch of all items through the cached audio gives the ids, first logits and answers of `model.generate`."""
    rows = [lm.encode_clip(wave(samples)) for samples, _ in items]
    prompts = [lm.prompt(len(r), text) for r, (_, text) in zip(rows, items, strict=True)]
    vocabulary = model.get_output_embeddings().weight.shape[0]
    ours = answer(lm, pad(lm, prompts, rows), torch.arange(vocabulary).expand(len(items), -1), new)
    for index, (samples, text) in enumerate(items):
        inputs = official(samples, text)
        assert prompts[index].ids_L.tolist() == inputs["input_ids"][0].tolist()
        output = model.generate(
            **inputs, max_new_tokens=new, do_sample=False, repetition_penalty=1.0, eos_token_id=list(lm.stop_ids),
            pad_token_id=lm.stop_ids[-1], output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        tokens = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        assert ours.tokens[index] == list(takewhile(lambda token: token not in lm.stop_ids, tokens))
        expected_V = output.logits[0][0].float().log_softmax(-1)
        torch.testing.assert_close(torch.as_tensor(ours.logprob_BO[index]), expected_V, atol=3e-5, rtol=0)
    assert len({tuple(t) for t in ours.tokens}) > 1, "equal answers show nothing"
    return ours.tokens


@pytest.fixture(scope="session")
def tools() -> Any:
    """What every adapter's tests use."""
    return SimpleNamespace(
        wave=wave, byte_tokenizer=byte_tokenizer, redraw=redraw, assert_equals_generate=assert_equals_generate
    )


@pytest.fixture(scope="module", params=BUILDERS, ids=lambda build: build.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    """Every model of the generic adapter."""
    return Case(*drawn(request.param))

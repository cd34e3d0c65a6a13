"""Interventions through a real decoder: Mix alone and in a batch, at the prompt and at every decoding step; 2-Pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from esn_dist.gates.find import Gate, find_gates
from esn_dist.gates.mix import Mix
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import pad
from esn_dist.models.audio_lm import Prompt
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny.architecture import TinySize, build, feature_extractor, tokenizer

EMOTIONS = ("anger", "joy", "neutral")
SIZE = TinySize(hidden=32, layers=3, gates=48, audio_width=32, audio_layers=1, audio_ffn=32)
ALPHA, TAU, STEPS = 0.8, 0.05, 6


@pytest.fixture(scope="module")
def model() -> Qwen25Omni:
    """A random Qwen2.5-Omni thinker whose weights are spread enough for answers to differ."""
    thinker = build(SIZE, seed=3)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in thinker.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.2)
    return Qwen25Omni(thinker, tokenizer(), feature_extractor(), Qwen25Omni.settings)


@pytest.fixture(scope="module")
def utterances(model: Qwen25Omni) -> tuple[list[Prompt], list[Tensor]]:
    """Prompts of very different lengths with their audio rows."""
    draw = torch.Generator().manual_seed(5)
    rows = [torch.randn(length, SIZE.hidden, generator=draw) for length in (2, 31, 9, 17, 4)]
    return [model.prompt(len(r), f"question {i}") for i, r in enumerate(rows)], rows


@pytest.fixture(scope="module")
def masks() -> npt.NDArray[np.bool_]:
    """member[emotion, layer, neuron]: overlapping, and joy has none in layer 1."""
    member_ELN = np.random.default_rng(6).random((len(EMOTIONS), SIZE.layers, SIZE.gates)) < 0.2
    member_ELN[1, 1] = False
    return member_ELN


def ask(model: Qwen25Omni, prompts: Sequence[Prompt], rows: Sequence[Tensor], mix: Mix | None) -> BatchAnswers:
    options = torch.tensor([model.number_tokens(3)] * len(prompts))
    return answer(model, pad(model, prompts, rows), options, STEPS, mix)


def under_mix(
    model: Qwen25Omni, member_ELN: npt.NDArray[np.bool_], prompts: Sequence[Prompt], rows: Any
) -> BatchAnswers:
    mix = Mix(find_gates(model.decoder), member_ELN, ALPHA, TAU)
    with mix.hooks():
        return ask(model, prompts, rows, mix)


def test_mix_gives_an_utterance_the_same_answer_alone_and_in_a_batch(
    model: Qwen25Omni, utterances: tuple[list[Prompt], list[Tensor]], masks: npt.NDArray[np.bool_]
) -> None:
    prompts, rows = utterances
    batched = under_mix(model, masks, prompts, rows)
    for row, (prompt, audio) in enumerate(zip(prompts, rows, strict=True)):
        alone = under_mix(model, masks, [prompt], [audio])
        assert alone.tokens[0] == batched.tokens[row]
        np.testing.assert_allclose(alone.logprob_BO[0], batched.logprob_BO[row], atol=2e-5)
    assert max(map(len, batched.tokens)) > 2, "no decoding step was tried"
    assert ask(model, prompts, rows, None).tokens != batched.tokens, "Mix did nothing"


def test_mix_through_a_decoder_equals_the_equations_applied_layer_by_layer(
    model: Qwen25Omni, utterances: tuple[list[Prompt], list[Tensor]], masks: npt.NDArray[np.bool_]
) -> None:
    """The reference: one utterance, no batch, no padding, no `answer`; numpy in double precision at every gate."""
    prompts, rows = utterances
    batched = under_mix(model, masks, prompts, rows)
    for row, (prompt, audio) in enumerate(zip(prompts, rows, strict=True)):
        tokens, logprob = reference(model, prompt, audio, masks)
        assert tokens == batched.tokens[row]
        np.testing.assert_allclose(batched.logprob_BO[row], logprob, atol=2e-5)


@torch.inference_mode()
def reference(
    model: Qwen25Omni, prompt: Prompt, audio: Tensor, masks: npt.NDArray[np.bool_]
) -> tuple[list[int], npt.NDArray[np.float32]]:
    """Greedy tokens, and log-probabilities of the option numbers, of one utterance under Mix."""
    gates, cache, tokens = find_gates(model.decoder), DynamicCache(), list[int]()
    counted = [t for t, part in enumerate(prompt.part_L) if part >= 0]
    fed, logprob = model.embed(prompt, audio)[None], np.zeros(0, np.float32)
    for step in range(STEPS):
        with equations(gates, masks, counted):
            hidden = model.decoder(inputs_embeds=fed, past_key_values=cache, use_cache=True).last_hidden_state
        logits = model.head(hidden[0, -1])
        if step == 0:
            logprob = logits.log_softmax(-1)[list(model.number_tokens(3))].numpy()
        token = int(logits.argmax())
        if token in model.stop_ids:
            break
        tokens.append(token)
        fed, counted = model.embedding(torch.tensor([[token]])), [0]
    return tokens, logprob


@contextmanager
def equations(gates: Sequence[Gate], masks: npt.NDArray[np.bool_], counted: list[int]) -> Iterator[None]:
    """Eqs. 14–16 at every gate, for one row."""

    def scale(layer: int, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        g_LN = output[0].double().numpy()
        present = [mask for mask in masks[:, layer] if mask.any()]
        q = np.array([g_LN[counted][:, mask].mean() for mask in present])
        w = np.exp(q / TAU) / np.exp(q / TAU).sum()
        gain_N = np.max([np.where(mask, 1 + ALPHA * share, -np.inf) for mask, share in zip(present, w, strict=True)], 0)
        return torch.from_numpy(g_LN * np.where(np.isfinite(gain_N), gain_N, 1.0)).to(output)[None]

    hooks = [g.activation.register_forward_hook(partial(scale, i)) for i, g in enumerate(gates)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

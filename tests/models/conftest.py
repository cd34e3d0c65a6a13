"""Speech-like noise, tokenizers without a network, and the reference that every adapter is held against."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.audio_lm import AudioLM

Wave = npt.NDArray[np.float32]
Item = tuple[int, str]
"""Samples of a clip, and the question."""


def wave(samples: int) -> Wave:
    """A vowel-like buzz with noise; another one for every length."""
    rng = np.random.default_rng(samples)
    t = np.arange(samples) / 16_000
    buzz = np.sin(2 * np.pi * rng.uniform(90, 300) * t + 3 * np.sin(2 * np.pi * 4 * t))
    return np.asarray(0.3 * buzz + 0.05 * rng.standard_normal(samples), np.float32)


def byte_tokenizer(specials: list[str], template: str, pad_token: str, eos: str, **extra: Any) -> Any:
    """Byte-level BPE without merges: one token a byte, and the special ones."""
    names = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=pad_token, eos_token=eos, padding_side="left", chat_template=template,
        clean_up_tokenization_spaces=False, **extra,
    )  # fmt: skip


def redraw(model: nn.Module, seed: int, spread: float = 0.2) -> None:
    """Wider weights: the usual spread of 0.02 gives almost constant logits, under which any comparison succeeds."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, spread, generator=generator)


def assert_equals_generate(
    lm: AudioLM, model: Any, official: Callable[[int, str], dict[str, Tensor]], items: list[Item], new: int = 8
) -> list[list[int]]:
    """One batch of all items through the cached audio gives the ids, first logits and answers of `model.generate`."""
    rows = [lm.encode(wave(samples)) for samples, _ in items]
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
        said = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        assert ours.tokens[index] == list(takewhile(lambda token: token not in lm.stop_ids, said))
        expected_V = output.logits[0][0].float().log_softmax(-1)
        torch.testing.assert_close(torch.as_tensor(ours.logprob_BO[index]), expected_V, atol=3e-5, rtol=0)
    assert len({tuple(t) for t in ours.tokens}) > 1, "all answers alike show nothing"
    return ours.tokens


@pytest.fixture(scope="session")
def tools() -> Any:
    """The functions of this file: tests of one folder cannot import from each other."""
    return SimpleNamespace(
        wave=wave, byte_tokenizer=byte_tokenizer, redraw=redraw, assert_equals_generate=assert_equals_generate
    )

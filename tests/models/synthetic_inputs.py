"""What tests of adapters are made of: speech-like noise, tokenizers without a network, weights that say something."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

Wave = npt.NDArray[np.float32]


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

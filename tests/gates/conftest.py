"""A small random decoder of transformers' own class."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2Config, Qwen2Model

WIDTH, LAYERS, HIDDEN = 48, 3, 16


def random_decoder(seed: int = 0) -> Qwen2Model:
    """Qwen2, float32, 3 layers of 48 gates; weights wide enough that gates open and close."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=50, hidden_size=HIDDEN, intermediate_size=WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    model = Qwen2Model(config)
    model.eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 0.3)
    return model


@pytest.fixture
def decoder() -> Qwen2Model:
    return random_decoder()


@pytest.fixture(scope="module")
def shared() -> Qwen2Model:
    """One decoder for many examples of a property test, none of which changes it."""
    return random_decoder()

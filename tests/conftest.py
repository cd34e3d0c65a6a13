"""What every test shares: property tests are never failed by a slow machine, and one small real model.

Heavy imports stand inside the fixtures: the light rooms' tests run without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from esn_dist.models.qwen2_5_omni import Qwen25Omni

settings.register_profile("esn_dist", deadline=None)
settings.load_profile("esn_dist")


@pytest.fixture(scope="session")
def omni() -> Qwen25Omni:
    """A random Qwen2.5-Omni Thinker, float32. Not trained, so that no answer is easy."""
    import torch

    from esn_dist.models.qwen2_5_omni import Qwen25Omni
    from esn_dist.models.tiny.architecture import Size, build, feature_extractor, tokenizer

    size = Size(hidden=32, layers=3, gates=64, audio_width=32, audio_layers=2, audio_ffn=64)
    thinker = build(size, seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in thinker.parameters():
            if weight.dim() > 1:  # the usual spread of 0.02 gives almost constant logits
                weight.normal_(0.0, 0.2)
    return Qwen25Omni(thinker, tokenizer(), feature_extractor())

"""Clips through a model's encoder as an actor takes them: block by block. Knows nothing of where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from esn_dist.inference.encode import ReadClip, encode_block
from esn_dist.models.audio_lm import AudioLM
from esn_dist.sweep.units import ENCODE_BLOCK


def encode_all(lm: AudioLM, reads: Sequence[ReadClip]) -> list[Tensor]:
    """Audio rows of each clip on the CPU; a clip that cannot be read or heard ends it all."""
    blocks = [reads[start : start + ENCODE_BLOCK] for start in range(0, len(reads), ENCODE_BLOCK)]
    said = [one for block in blocks for one in encode_block(lm, block)]
    for one in said:
        if isinstance(one, Exception):
            raise one
    return [one for one in said if isinstance(one, Tensor)]

"""Clips through a model's encoder as an actor takes them: block by block. Knows nothing of where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched

from torch import Tensor

from esn_dist.inference.encode import Read, encode_block
from esn_dist.models.audio_lm import AudioLM
from esn_dist.sweep.units import ENCODE_BLOCK


def encode_all(lm: AudioLM, reads: Sequence[Read]) -> list[Tensor]:
    """Audio rows of each clip on the CPU; a clip that cannot be read or heard ends it all."""
    said = [one for block in batched(reads, ENCODE_BLOCK) for one in encode_block(lm, block)]
    for one in said:
        if isinstance(one, Exception):
            raise one
    return [one for one in said if isinstance(one, Tensor)]

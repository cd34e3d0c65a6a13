"""Encodes clips as an actor does: block by block. Knows nothing of where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from esn_dist.inference.encode import ReadClip, encode_block
from esn_dist.models.audio_lm import AudioLM
from esn_dist.sweep.units import ENCODE_BLOCK


def encode_all(lm: AudioLM, reads: Sequence[ReadClip]) -> list[Tensor]:
    """Audio embeddings [R, D] of each clip on the CPU; raises the error of a clip that cannot be encoded."""
    blocks = [reads[start : start + ENCODE_BLOCK] for start in range(0, len(reads), ENCODE_BLOCK)]
    results = [result for block in blocks for result in encode_block(lm, block)]
    for result in results:
        if isinstance(result, Exception):
            raise result
    return [result for result in results if isinstance(result, Tensor)]

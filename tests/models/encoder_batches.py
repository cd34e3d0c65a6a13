"""Many clips through an encoder in batches of chunks, compared with each clip alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from esn_dist.models.audio_lm import AudioLM
from tests.models.synthetic_inputs import wave


def embeds_in_fixed_batches(lm: AudioLM, lengths: Sequence[int], size: int) -> list[Tensor]:
    """Audio embeddings of clips of these lengths, in encoder batches of `size` chunks; 0: one clip at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lm, "encoder_batch", size)
        return lm.encode_audio(lm.preprocess(wave(samples)) for samples in lengths)


def assert_nothing_waits_for_the_device(lm: AudioLM, lengths: Sequence[int], size: int) -> None:
    """For a model on the meta device: reading any value there fails, and so does a tensor left on the CPU."""
    rows = embeds_in_fixed_batches(lm, lengths, size)
    assert all(rows_RD.is_meta for rows_RD in rows)
    assert all(len(rows_RD) > 0 for rows_RD in rows)


def assert_other_clips_change_no_bit(lm: AudioLM, lengths: Sequence[int], size: int, tolerance: float) -> None:
    """A clip has the same embeddings in any batch and at any index of it, and the official ones but for rounding."""
    alone = dict(zip(lengths, embeds_in_fixed_batches(lm, lengths, 0), strict=True))
    first = dict(zip(lengths, embeds_in_fixed_batches(lm, lengths, size), strict=True))
    for samples in lengths:
        assert first[samples].isfinite().all()
        torch.testing.assert_close(first[samples], alone[samples], atol=tolerance, rtol=0)
    for seed in range(3):
        others = random.Random(seed).sample(lengths, len(lengths) - seed)
        for samples, rows_RD in zip(others, embeds_in_fixed_batches(lm, others, size), strict=True):
            assert torch.equal(rows_RD, first[samples]), samples
    for samples in lengths:
        assert torch.equal(embeds_in_fixed_batches(lm, [samples], size)[0], first[samples]), samples
    assert not torch.equal(first[lengths[0]][0], first[lengths[1]][0]), "equal embeddings show nothing"

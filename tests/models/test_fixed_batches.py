"""Chunks in batches of one size: none is lost or moved, and none depends on the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from esn_dist.models.fixed_batches import EQUAL_CHUNKS, attention_implementation, encode_in_fixed_batches
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from tests.models.encoder_batches import (
    assert_nothing_waits_for_the_device,
    assert_other_clips_change_no_bit,
    embeds_in_fixed_batches,
)
from tests.models.synthetic_inputs import wave

# Parts of one chunk of 2 s, whole chunks, and a last chunk of one mel frame, which has a position and no row.
LENGTHS = (4_000, 480, 32_000, 32_001, 37_920, 64_000, 64_159, 160_000)


@given(st.lists(st.integers(0, 5), max_size=9), st.integers(1, 4))
def test_every_clip_gets_the_rows_of_its_own_pieces_in_order_and_groups_have_one_size(
    lengths: list[int], size: int
) -> None:
    def doubled(pieces: Sequence[int]) -> list[Tensor]:
        assert len(pieces) == size
        return [torch.tensor(2 * piece) for piece in pieces]

    numbers = iter(range(sum(lengths)))
    clips = [[next(numbers) for _ in range(length)] for length in lengths]
    rows = encode_in_fixed_batches(clips, size, doubled)
    assert [[int(row) for row in clip] for clip in rows] == [[2 * piece for piece in clip] for clip in clips]


def test_a_group_is_encoded_as_soon_as_it_is_full() -> None:
    encoded: list[int] = []

    def clips() -> Iterator[list[int]]:
        for number in range(4):
            assert len(encoded) == number // 2 * 2
            yield [number]

    def encode(pieces: Sequence[int]) -> list[Tensor]:
        encoded.extend(pieces)
        return [torch.tensor(piece) for piece in pieces]

    encode_in_fixed_batches(clips(), 2, encode)


@pytest.mark.parametrize("group", [1, 5, 32])
def test_embeddings_are_the_same_bits_in_any_encoder_batch_and_the_official_ones(omni: Qwen25Omni, group: int) -> None:
    assert_other_clips_change_no_bit(omni, LENGTHS, group, 1e-5)


def test_no_layer_and_no_encoder_batch_waits_for_the_device(omni: Qwen25Omni) -> None:
    there: Any = deepcopy(omni.thinker).to("meta")
    lm = Qwen25Omni(there, omni.tokenizer, omni.extractor)
    assert_nothing_waits_for_the_device(lm, LENGTHS, 4)
    with pytest.raises((RuntimeError, NotImplementedError)):  # as it does clip by clip
        embeds_in_fixed_batches(lm, LENGTHS, 0)


def test_the_one_by_one_way_has_its_bits_back_after_groups(omni: Qwen25Omni) -> None:
    before = omni.encode_clip(wave(37_920))
    embeds_in_fixed_batches(omni, LENGTHS, 4)
    assert torch.equal(omni.encode_clip(wave(37_920)), before)
    config = omni.tower.config
    kind = config._attn_implementation
    with pytest.raises(RuntimeError), attention_implementation(config, EQUAL_CHUNKS):
        raise RuntimeError("no room")
    assert config._attn_implementation == kind != EQUAL_CHUNKS


def test_on_a_cpu_clips_go_one_by_one(omni: Qwen25Omni) -> None:
    """The published answers of the shipped model depend on these bits."""
    assert omni.encoder_batch == 0


def again(omni: Qwen25Omni, folder: Path, dtype: torch.dtype) -> Qwen25Omni:
    """The same weights, written and loaded."""
    for part in (omni.thinker, omni.tokenizer, omni.extractor):
        part.save_pretrained(folder)
    return Qwen25Omni.load(folder, dtype, Placement(), Qwen25Omni.settings)


def test_an_offloaded_tower_encodes_groups_to_the_same_bits(omni: Qwen25Omni, tmp_path: Path) -> None:
    away = again(omni, tmp_path, torch.float32)
    accelerate.cpu_offload(away.thinker, execution_device=torch.device("cpu"))
    assert next(away.tower.layers.parameters()).is_meta
    for ours, theirs in zip(
        embeds_in_fixed_batches(away, LENGTHS, 4), embeds_in_fixed_batches(omni, LENGTHS, 4), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_bfloat16_in_groups_is_as_near_to_float32_as_one_by_one(omni: Qwen25Omni, tmp_path: Path) -> None:
    half = again(omni, tmp_path, torch.bfloat16)
    exact = torch.cat(embeds_in_fixed_batches(omni, LENGTHS, 0))
    off = [(torch.cat(embeds_in_fixed_batches(half, LENGTHS, group)).float() - exact).abs().mean() for group in (0, 32)]
    assert off[1] < 1.1 * off[0]

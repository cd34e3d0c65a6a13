"""Prompts one after the other in one tensor, as the packed engine computes them.

Knows lengths and parts of prompts, but no layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from esn_dist.gates.positions import TokenPositions
from esn_dist.inference.packed.cache import PackedLayout
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.transfer import to_device_async


@dataclass(frozen=True)
class PackedBatch:
    """Rows without padding.

    Attributes:
        embedded_TD: input embeddings of all rows.
        part_T: int64, part of each position; −1 on special tokens.
        lengths: of the rows.
    """

    embedded_TD: Tensor
    part_T: Tensor
    lengths: tuple[int, ...]
    _suffixes: dict[tuple[int, int], tuple[Tensor, PackedLayout]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def positions(self) -> TokenPositions:
        """The positions of the whole prompts, for observers."""
        cu_seqlens = torch.tensor([0, *self.lengths]).cumsum(0)
        return TokenPositions(self.part_T, to_device_async(cu_seqlens, self.part_T.device))

    def suffix(self, prefix: int, extra_slots: int) -> tuple[Tensor, PackedLayout]:
        """The tokens after the first `prefix` of each row: a copy of their embeddings [T, D], and their layout.

        Args:
            extra_slots: slots that each row needs after its prompt.
        """
        if (prefix, extra_slots) not in self._suffixes:
            self._suffixes[prefix, extra_slots] = self._layout(prefix, extra_slots)
        token_T, layout = self._suffixes[prefix, extra_slots]
        return self.embedded_TD[token_T], layout

    def halves(self) -> tuple[PackedBatch, PackedBatch]:
        """The first half of the rows, and the other rows."""
        middle = len(self) // 2
        tokens = sum(self.lengths[:middle])
        return (
            PackedBatch(self.embedded_TD[:tokens], self.part_T[:tokens], self.lengths[:middle]),
            PackedBatch(self.embedded_TD[tokens:], self.part_T[tokens:], self.lengths[middle:]),
        )

    def _layout(self, prefix: int, extra_slots: int) -> tuple[Tensor, PackedLayout]:
        """Numbers [T] of the suffixes' tokens in the whole batch, and their layout. Computed on the host."""
        # 1. [B] lengths -> [T] row and [B + 1] start of each suffix.
        length_B = torch.tensor(self.lengths)
        row_T = torch.repeat_interleave(length_B - prefix)
        cu_seqlens = torch.cat([torch.zeros(1, dtype=torch.long), (length_B - prefix).cumsum(0)])
        # 2. [T]: the position of each token in its row, then its number in the whole batch.
        position_T = torch.arange(len(row_T)) - cu_seqlens[row_T] + prefix
        token_T = position_T + (length_B.cumsum(0) - length_B)[row_T]
        # 3. To the device.
        device, max_length = self.embedded_TD.device, max(self.lengths)
        position_T, row_T, cu_seqlens = (to_device_async(x, device) for x in (position_T, row_T, cu_seqlens.int()))
        layout = PackedLayout(position_T, row_T, cu_seqlens, max_length - prefix, max_length + extra_slots)
        return to_device_async(token_T, device), layout


@torch.no_grad()
def pack(model: AudioLM, prompts: Sequence[Prompt], audio_embeds: Sequence[Tensor]) -> PackedBatch:
    """`prompts` with their audio embeddings [R, D] as one batch on the model's device."""
    joined = Prompt.concatenate(prompts)
    part_T = to_device_async(torch.from_numpy(joined.part_L).long(), model.device)
    return PackedBatch(model.embed(joined, torch.cat(list(audio_embeds))), part_T, tuple(map(len, prompts)))

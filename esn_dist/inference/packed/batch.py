"""Prompts one after the other, as the packed engine reads them.

Knows lengths and parts, nothing of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from esn_dist.gates.positions import Positions
from esn_dist.inference.packed.cache import Geometry
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
    _after: dict[tuple[int, int], tuple[Tensor, Geometry]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def positions(self) -> Positions:
        """For whoever watches the gates of the whole prompt."""
        starts_R = torch.tensor([0, *self.lengths]).cumsum(0)
        return Positions(self.part_T, to_device_async(starts_R, self.part_T.device))

    def after(self, prefix: int, more: int) -> tuple[Tensor, Geometry]:
        """The tokens behind the first `prefix` of each row: embeddings, to be overwritten, and where they stand.

        Args:
            more: slots that each row needs behind its prompt.
        """
        if (prefix, more) not in self._after:
            self._after[prefix, more] = self._layout(prefix, more)
        token_T, geometry = self._after[prefix, more]
        return self.embedded_TD[token_T], geometry

    def halves(self) -> tuple[PackedBatch, PackedBatch]:
        """The first half of the rows, and the others."""
        middle = len(self) // 2
        at = sum(self.lengths[:middle])
        return (
            PackedBatch(self.embedded_TD[:at], self.part_T[:at], self.lengths[:middle]),
            PackedBatch(self.embedded_TD[at:], self.part_T[at:], self.lengths[middle:]),
        )

    def _layout(self, prefix: int, more: int) -> tuple[Tensor, Geometry]:
        length_B = torch.tensor(self.lengths)
        row_T = torch.repeat_interleave(length_B - prefix)
        starts_R = torch.cat([torch.zeros(1, dtype=torch.long), (length_B - prefix).cumsum(0)])
        position_T = torch.arange(len(row_T)) - starts_R[row_T] + prefix
        token_T = position_T + (length_B.cumsum(0) - length_B)[row_T]
        device, longest = self.embedded_TD.device, max(self.lengths)
        there = (
            to_device_async(position_T, device),
            to_device_async(row_T, device),
            to_device_async(starts_R.int(), device),
        )
        return to_device_async(token_T, device), Geometry(*there, longest - prefix, longest + more)


@torch.no_grad()
def pack(model: AudioLM, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> PackedBatch:
    """`prompts` with their audio rows [R, D] as one batch on the model's device."""
    whole = Prompt.concatenate(prompts)
    part_T = to_device_async(torch.from_numpy(whole.part_L).long(), model.device)
    return PackedBatch(model.embed(whole, torch.cat(list(rows))), part_T, tuple(map(len, prompts)))

"""The positions of one forward call: the row of the batch and the part of the sequence that each belongs to.

A call is padded (positions [B, S]) or packed (rows of unequal length one after the other, [T]). Both look the same
here: T positions in rows that begin at `cu_seqlens`. Knows no models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from esn_dist.transfer import peer_copy


@dataclass(frozen=True)
class TokenPositions:
    """The T positions of a call, row after row.

    Attributes:
        part_T: int, the part of each; −1 where no part counts it (padding, special tokens, a finished row).
        cu_seqlens: int64 [B + 1], cumulative lengths: where each row begins; the last one is T.
    """

    part_T: Tensor
    cu_seqlens: Tensor

    @classmethod
    def padded(cls, part_BS: Tensor) -> TokenPositions:
        """The positions of a batch whose rows are equally long."""
        rows, length = part_BS.shape
        return cls(part_BS.flatten().long(), torch.arange(rows + 1, device=part_BS.device) * length)

    @cached_property
    def row_T(self) -> Tensor:
        """int64, the row of each position."""
        index_T = torch.arange(len(self.part_T), device=self.part_T.device)
        return torch.searchsorted(self.cu_seqlens[1:], index_T, right=True)

    @cached_property
    def counted_B1(self) -> Tensor:
        """int64, positions of any part in each row."""
        return self.sums((self.part_T >= 0).float()[:, None]).long()

    def sums(self, values_TC: Tensor) -> Tensor:
        """Float32 sums [B, C] over each row's positions; in order, so the same on every run."""
        # `unsafe` skips a check of the lengths that would wait for the device.
        return torch.segment_reduce(values_TC, "sum", lengths=self.cu_seqlens.diff(), axis=0, unsafe=True)

    def to(self, device: torch.device) -> TokenPositions:
        """The same positions on the device of a layer, copied there once."""
        if self.part_T.device == device:
            return self
        if device not in self._copies:
            self._copies[device] = TokenPositions(peer_copy(self.part_T, device), peer_copy(self.cu_seqlens, device))
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, TokenPositions]:
        return {}

"""Where the positions of one forward call belong: to which row of the batch, and to which part of its prompt.

A call is padded (positions [B, L]) or packed (rows of unequal length one after the other, positions [T]); whoever
watches gates sees both as T positions in rows that start somewhere. Knows no models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from esn_dist.transfer import peer_copy


@dataclass(frozen=True)
class Positions:
    """The T positions of a call, row after row.

    Attributes:
        part_T: the part of each (int); −1 where it is of none (padding, special tokens, a row whose answer is over).
        starts_R: int64 [B + 1], where each row begins; the last one is T.
    """

    part_T: Tensor
    starts_R: Tensor

    @classmethod
    def padded(cls, part_BL: Tensor) -> Positions:
        """Of a batch whose rows are equally long."""
        rows, length = part_BL.shape
        return cls(part_BL.flatten().long(), torch.arange(rows + 1, device=part_BL.device) * length)

    @cached_property
    def row_T(self) -> Tensor:
        """int64, the row of each position."""
        at_T = torch.arange(len(self.part_T), device=self.part_T.device)
        return torch.searchsorted(self.starts_R[1:], at_T, right=True)

    @cached_property
    def counted_B1(self) -> Tensor:
        """int64, positions of any part in each row."""
        return self.sums((self.part_T >= 0).float()[:, None]).long()

    def sums(self, values_TC: Tensor) -> Tensor:
        """Float32 sums [B, C] over each row's positions; in order, so the same on every run."""
        # `unsafe` skips a check of the lengths that would wait for the device.
        return torch.segment_reduce(values_TC, "sum", lengths=self.starts_R.diff(), axis=0, unsafe=True)

    def on(self, device: torch.device) -> Positions:
        """The same on the device of a layer, copied there once."""
        if self.part_T.device == device:
            return self
        if device not in self._elsewhere:
            self._elsewhere[device] = Positions(peer_copy(self.part_T, device), peer_copy(self.starts_R, device))
        return self._elsewhere[device]

    @cached_property
    def _elsewhere(self) -> dict[torch.device, Positions]:
        return {}

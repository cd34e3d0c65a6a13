"""Keys and values of a batch, and where the tokens of one forward call stand among them.

Every row has the same number of slots, so a token's place is row · slots + position. Rows are of like length (batches
are sorted), so little stands empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from esn_dist.transfer import peer_copy


@dataclass(frozen=True, slots=True)
class Cache:
    """Per layer, [2, B, S, KV heads, head width]: keys, then values; on the layer's device."""

    layers: list[Tensor]

    @classmethod
    def empty(cls, like: Sequence[Tensor], rows: int, slots: int, heads: int, width: int) -> Cache:
        # Zeros, not whatever was there: a masked NaN is still a NaN.
        return cls([layer.new_zeros(2, rows, slots, heads, width) for layer in like])

    def begin_with(self, prefix: Cache) -> None:
        """Write the single row of `prefix` at the start of every row."""
        for mine, shared in zip(self.layers, prefix.layers, strict=True):
            mine[:, :, : shared.shape[2]] = shared


@dataclass(frozen=True)
class Geometry:
    """Where the T tokens of a call stand; rows one after the other.

    Attributes:
        position_T: int64, of each token in its row; it sees the slots up to and with its own.
        row_T: int64.
        starts_R: int32 [B + 1], where each row's tokens begin.
        longest: tokens of the longest row.
        slots: S of the cache.
    """

    position_T: Tensor
    row_T: Tensor
    starts_R: Tensor
    longest: int
    slots: int

    @cached_property
    def slot_T(self) -> Tensor:
        """int64, the place of each token in a layer's cache of [B · S] slots."""
        return self.row_T * self.slots + self.position_T

    @cached_property
    def last_B(self) -> Tensor:
        """int64, the number of each row's last token."""
        return self.starts_R[1:].long() - 1

    @cached_property
    def used_B(self) -> Tensor:
        """int32, slots of each row that hold something once the call's tokens are kept."""
        return self.position_T[self.last_B].int() + 1

    @cached_property
    def slot_starts_R(self) -> Tensor:
        """int32 [B + 1], where each row's slots begin."""
        return torch.arange(len(self.starts_R), dtype=torch.int32, device=self.starts_R.device) * self.slots

    @cached_property
    def place_T(self) -> Tensor:
        """int64, of each token in a padded batch of [B · longest] places."""
        nth_T = torch.arange(len(self.row_T), device=self.row_T.device) - self.starts_R.long()[self.row_T]
        return self.row_T * self.longest + nth_T

    @cached_property
    def sees_BLS(self) -> Tensor:
        """bool, whether the padded batch's token [B, longest] sees a slot; a place of no token sees the first one."""
        rows = len(self.starts_R) - 1
        position_X = self.position_T.new_zeros(rows * self.longest).index_copy(0, self.place_T, self.position_T)
        slot_S = torch.arange(self.slots, device=self.position_T.device)
        return slot_S <= position_X.view(rows, self.longest, 1)

    @cached_property
    def lasts(self) -> Geometry:
        """Of each row's last token alone."""
        rows = torch.arange(len(self.last_B), device=self.last_B.device)
        starts_R = torch.arange(len(self.starts_R), dtype=torch.int32, device=self.last_B.device)
        return Geometry(self.position_T[self.last_B], rows, starts_R, 1, self.slots)

    def next(self, step: int) -> Geometry:
        """Of the token that each row got `step` steps ago, after its last one here."""
        return replace(self.lasts, position_T=self.lasts.position_T + 1 + step)

    def on(self, device: torch.device) -> Geometry:
        """The same on the device of a layer, copied there once."""
        if device == self.position_T.device:
            return self
        if device not in self._elsewhere:
            position_T, row_T, starts_R = (peer_copy(x, device) for x in (self.position_T, self.row_T, self.starts_R))
            self._elsewhere[device] = Geometry(position_T, row_T, starts_R, self.longest, self.slots)
        return self._elsewhere[device]

    @cached_property
    def _elsewhere(self) -> dict[torch.device, Geometry]:
        return {}

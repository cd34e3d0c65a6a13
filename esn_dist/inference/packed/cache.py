"""The key-value cache of a batch, and the layout of one forward call's tokens in it.

Every row has the same number of slots, so a token's slot is row · slots + position. Batches are sorted by length, so
few slots stay empty. Knows no layers' weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from esn_dist.transfer import peer_copy


@dataclass(frozen=True, slots=True)
class KVCache:
    """Keys, then values, [2, B, S, K, W] of each layer, on the layer's device."""

    layers: list[Tensor]

    @classmethod
    def empty(cls, like: Sequence[Tensor], rows: int, slots: int, heads: int, width: int) -> KVCache:
        """A cache with a layer on the device and in the dtype of each tensor in `like`."""
        # Zeros rather than uninitialised memory: a masked NaN is still a NaN.
        return cls([layer.new_zeros(2, rows, slots, heads, width) for layer in like])

    def write_prefix(self, prefix: KVCache) -> None:
        """Write the single row of `prefix` at the start of every row."""
        for layer, prefix_layer in zip(self.layers, prefix.layers, strict=True):
            layer[:, :, : prefix_layer.shape[2]] = prefix_layer


@dataclass(frozen=True)
class PackedLayout:
    """The layout of the T tokens of a call, row after row.

    Attributes:
        position_T: int64, of each token in its row; it attends to the slots up to and with its own.
        row_T: int64.
        cu_seqlens: int32 [B + 1], cumulative lengths: where each row's tokens begin.
        max_seqlen: tokens of the longest row.
        slots: S of the cache.
    """

    position_T: Tensor
    row_T: Tensor
    cu_seqlens: Tensor
    max_seqlen: int
    slots: int

    @cached_property
    def slot_T(self) -> Tensor:
        """int64, the slot of each token in a layer's cache of [B · S] slots."""
        return self.row_T * self.slots + self.position_T

    @cached_property
    def last_B(self) -> Tensor:
        """int64, the index of each row's last token in the call."""
        return self.cu_seqlens[1:].long() - 1

    @cached_property
    def kv_lengths_B(self) -> Tensor:
        """int32, slots of each row in use once the call's tokens are written."""
        return self.position_T[self.last_B].int() + 1

    @cached_property
    def cu_seqlens_k(self) -> Tensor:
        """int32 [B + 1], where each row's slots begin."""
        return torch.arange(len(self.cu_seqlens), dtype=torch.int32, device=self.cu_seqlens.device) * self.slots

    @cached_property
    def offset_T(self) -> Tensor:
        """int64, the index of each token in a padded batch of [F] = [B · L] positions, where L is `max_seqlen`."""
        index_in_row_T = torch.arange(len(self.row_T), device=self.row_T.device) - self.cu_seqlens.long()[self.row_T]
        return self.row_T * self.max_seqlen + index_in_row_T

    @cached_property
    def attends_to_BLS(self) -> Tensor:
        """bool, whether a position of the padded batch attends to a slot; padding attends to the first one."""
        rows = len(self.cu_seqlens) - 1
        # 1. [T] -> [F]: positions of the tokens in their rows, 0 on the padding.
        position_F = self.position_T.new_zeros(rows * self.max_seqlen).index_copy(0, self.offset_T, self.position_T)
        # 2. [S] <= [B, L, 1] -> [B, L, S].
        slot_S = torch.arange(self.slots, device=self.position_T.device)
        return slot_S <= position_F.view(rows, self.max_seqlen, 1)

    @cached_property
    def last_positions(self) -> PackedLayout:
        """The layout of each row's last token alone."""
        rows_B = torch.arange(len(self.last_B), device=self.last_B.device)
        cu_seqlens = torch.arange(len(self.cu_seqlens), dtype=torch.int32, device=self.last_B.device)
        return PackedLayout(self.position_T[self.last_B], rows_B, cu_seqlens, 1, self.slots)

    def decode_step(self, step: int) -> PackedLayout:
        """The layout of one new token in each row, after this call's last one and `step` further ones."""
        last = self.last_positions
        return replace(last, position_T=last.position_T + 1 + step)

    def to(self, device: torch.device) -> PackedLayout:
        """The same layout on the device of a layer, copied there once."""
        if device == self.position_T.device:
            return self
        if device not in self._copies:
            position_T, row_T, cu_seqlens = (
                peer_copy(x, device) for x in (self.position_T, self.row_T, self.cu_seqlens)
            )
            self._copies[device] = PackedLayout(position_T, row_T, cu_seqlens, self.max_seqlen, self.slots)
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, PackedLayout]:
        return {}

"""Positive-activation counts: K = Σ_t m_t · [u > 0], per utterance, part and neuron (paper §3.1).

Counts the sign of u in the compute dtype: SiLU(u) > 0 exactly where u > 0, and u does not underflow. Sums are made
where the layer lies. An expert's neurons are counted over the positions routed to it, whose number is kept too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import Gate, Routed


class Counter:
    """Counts of one batch of utterances over any number of forward calls.

    Before each call `see` names the part of every position; those of no part (padding, special tokens) count nowhere.
    """

    def __init__(self, gates: Sequence[Gate], batch: int, parts: int) -> None:
        self._gates = gates
        self._member_PBL: Tensor | None = None
        self._K_BPN: list[Tensor | None] = [None] * len(gates)  # made at the first call, on the device that u is on
        self._T_BP = torch.zeros(batch, parts, dtype=torch.int32)
        self._T_LBPE = torch.zeros(len(gates), batch, parts, max(1, gates[0].experts), dtype=torch.int32)

    def see(self, part_BL: Tensor) -> None:
        """The part (int, −1 for none) of each position of the coming forward call."""
        parts = torch.arange(self._T_BP.shape[1], device=part_BL.device)
        self._member_PBL = part_BL[None] == parts[:, None, None]
        self._T_BP += self._member_PBL.sum(-1, dtype=torch.int32).T.cpu()

    @contextmanager
    def attached(self) -> Iterator[Counter]:
        """Hooks in place for the length of the block."""
        handles = [handle for i, gate in enumerate(self._gates) for handle in gate.watch(partial(self._count, i))]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _count(self, index: int, u: Tensor, g: Tensor, routed: Routed | None) -> None:
        if self._member_PBL is None:
            raise RuntimeError("a forward call was counted before `see` named its positions")
        member_PBL = self._member_PBL.to(u.device)
        if routed is not None:
            self._count_expert(index, u > 0, routed, member_PBL)
            return
        positive_BLN = u > 0
        K_BPN = torch.stack([(positive_BLN & m[..., None]).sum(1, dtype=torch.int32) for m in member_PBL], dim=1)
        before = self._K_BPN[index]
        self._K_BPN[index] = K_BPN if before is None else before + K_BPN

    def _count_expert(self, index: int, positive_RI: Tensor, routed: Routed, member_PBL: Tensor) -> None:
        """Rows of one expert, added to the utterance and the part that each row's token belongs to."""
        parts, batch, length = member_PBL.shape
        K_BPN = self._K_BPN[index]
        if K_BPN is None:
            K_BPN = positive_RI.new_zeros(batch, parts, self._gates[index].width, dtype=torch.int32)
            self._K_BPN[index] = K_BPN
        width = positive_RI.shape[1]
        mine = slice(routed.expert * width, (routed.expert + 1) * width)
        row_R = routed.tokens_R // length
        member_PR = member_PBL.flatten(1)[:, routed.tokens_R]
        for part, member_R in enumerate(member_PR):
            K_BPN[:, part, mine].index_add_(0, row_R, (positive_RI & member_R[:, None]).int())
        here_BP = member_PR.new_zeros(batch, parts, dtype=torch.int32).index_add_(0, row_R, member_PR.T.int())
        self._T_LBPE[index, :, :, routed.expert] += here_BP.cpu()

    def result(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """K[utterance, part, layer, neuron] and T[utterance, part], both uint16.

        Raises:
            OverflowError: an utterance has more positions than uint16 holds.
            RuntimeError: a gate was never called: a fused kernel has replaced the MLP, or nothing ran.
        """
        T = self._T_BP.numpy()
        if T.max(initial=0) >= np.iinfo(np.uint16).max:
            raise OverflowError(f"{T.max()} counted positions in one utterance; at most 65,534 can be stored")
        if any(k is None for k in self._K_BPN):
            raise RuntimeError("a gate's activation was never called, so its counts would be zeros that mean nothing")
        K = torch.stack([k.cpu() for k in self._K_BPN if k is not None], dim=2).numpy()
        return K.astype(np.uint16), T.astype(np.uint16)

    def routed(self) -> npt.NDArray[np.uint16]:
        """T[utterance, part, layer, expert]: positions that were sent to each expert; the T of its neurons' P = K/T."""
        if not self._gates[0].experts:
            raise TypeError("a dense model sends every position to every neuron: T of `result` is all there is")
        return self._T_LBPE.permute(1, 2, 0, 3).numpy().astype(np.uint16)

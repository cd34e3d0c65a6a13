"""Mix (paper eqs. 14–16): every row's gates scaled by how much each emotion's neurons fire in that very row.

Per layer and emotion e, from the gates before scaling, in float32:
  q(e) = mean of g over the neurons of e's mask and over the row's counted positions of this forward call      (14)
  w(e) = exp(q(e)/τ) / Σ exp(q(e')/τ), over the emotions whose mask has a neuron in this layer                 (15)
  g'   = g · max over the masks that hold the neuron of (1 + α · w(e)); other neurons are left alone            (16)
A forward call is a prompt (all its counted positions, special tokens and padding excluded) or one decoding step (the
new token). Layers act in order, so each sees the scaled ones below it. Every position of the row is scaled, counted or
not. The gains differ from row to row, so they cannot be folded into weights: this is always done at the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import Gate, Routed


class Mix:
    """The intervention on one model, attached for as long as it acts.

    Before each forward call `see` names its counted positions. A row without any has no evidence and is left alone:
    its answer is over.

    Args:
        member_ELN: bool, the mask of each emotion.
        alpha: gain, positive.
        tau: temperature, positive.

    Raises:
        TypeError: the layers are made of experts.
    """

    def __init__(self, gates: Sequence[Gate], member_ELN: npt.NDArray[np.bool_], alpha: float, tau: float) -> None:
        if member_ELN.shape[1:] != (len(gates), gates[0].width):
            raise ValueError(f"masks of shape {member_ELN.shape[1:]} for gates of {(len(gates), gates[0].width)}")
        if gates[0].experts:
            raise TypeError("mix weighs all gates of a layer at once, and experts show theirs one after the other")
        self._gates, self._alpha, self._tau = gates, alpha, tau
        self._members = [_Members.of(member_ELN[:, layer]) for layer in range(len(gates))]
        self._counted_BL: Tensor | None = None

    def see(self, part_BL: Tensor) -> None:
        """The part (int, −1 for none) of each position of the coming forward call."""
        self._counted_BL = part_BL >= 0

    @contextmanager
    def attached(self) -> Iterator[Mix]:
        """Acting for the length of the block."""
        with ExitStack() as stack:
            for layer, gate in enumerate(self._gates):
                if len(self._members[layer].columns_C):
                    for handle in gate.watch(partial(self._scale, layer)):
                        stack.callback(handle.remove)
            yield self

    def _scale(self, layer: int, u_BLN: Tensor, g_BLN: Tensor, routed: Routed | None) -> Tensor:
        if self._counted_BL is None or self._counted_BL.shape != g_BLN.shape[:2]:
            raise RuntimeError("a forward call was mixed before `see` named its positions")
        # Layers may lie on different devices; what a layer needs moves there once.
        members = self._members[layer] = self._members[layer].on(g_BLN.device)
        own_BLC = g_BLN.index_select(-1, members.columns_C).float()
        s_BC = self._gains(own_BLC, self._counted_BL.to(g_BLN.device), members)
        return g_BLN.index_copy(-1, members.columns_C, (own_BLC * s_BC[:, None]).to(g_BLN.dtype))

    def _gains(self, own_BLC: Tensor, counted_BL: Tensor, members: _Members) -> Tensor:
        """The factor of every row and masked neuron, float32 [B, C]."""
        positions_B1 = counted_BL.sum(1, keepdim=True)
        # Padding may hold anything: it is left out before the sum, not multiplied by 0.
        mean_BC = own_BLC.where(counted_BL[..., None], 0.0).sum(1) / positions_B1.clamp(min=1)
        # A product and a sum: a matrix product may be rounded to TF32 on a GPU.
        q_BE = (mean_BC[:, None] * members.share_EC).sum(-1)
        w_BE = (q_BE / self._tau).softmax(-1)
        s_BEC = (1 + self._alpha * w_BE)[..., None].where(members.share_EC > 0, -torch.inf)
        return s_BEC.amax(1).where(positions_B1 > 0, 1.0)


@dataclass(frozen=True, slots=True)
class _Members:
    """The masks of one layer: the C neurons that any of them holds, and the emotions E that hold one.

    Attributes:
        columns_C: int64, those neurons.
        share_EC: float32, 1 / (size of the emotion's mask in this layer) where it holds the neuron, else 0.
    """

    columns_C: Tensor
    share_EC: Tensor

    @classmethod
    def of(cls, member_EN: npt.NDArray[np.bool_]) -> _Members:
        columns_C = np.flatnonzero(member_EN.any(axis=0))
        own_EC = member_EN[member_EN.any(axis=1)][:, columns_C]
        share_EC = own_EC / own_EC.sum(axis=1, keepdims=True)
        return cls(torch.from_numpy(columns_C), torch.from_numpy(share_EC.astype(np.float32)))

    def on(self, device: torch.device) -> _Members:
        return _Members(self.columns_C.to(device), self.share_EC.to(device))

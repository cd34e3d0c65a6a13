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

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import Gate, Routed
from esn_dist.gates.positions import Positions
from esn_dist.transfer import to_device_async


class Mix:
    """The intervention on one model, attached for as long as it acts.

    Before each forward call `see` names its counted positions. A row without any has no evidence and is left alone:
    its answer is over.

    Args:
        member_ELN: bool, the mask of each emotion.
        alpha: gain, positive.
        tau: temperature, positive.
        kernels: whether packed gates on a GPU are scaled by kernels of our own, which need a compiler there.

    Raises:
        TypeError: the layers are made of experts.
    """

    def __init__(
        self,
        gates: Sequence[Gate],
        member_ELN: npt.NDArray[np.bool_],
        alpha: float,
        tau: float,
        kernels: bool = True,
    ) -> None:
        if member_ELN.shape[1:] != (len(gates), gates[0].width):
            raise ValueError(f"masks of shape {member_ELN.shape[1:]} for gates of {(len(gates), gates[0].width)}")
        if gates[0].experts:
            raise TypeError("mix weighs all gates of a layer at once, and experts show theirs one after the other")
        self._gates, self._alpha, self._tau, self._kernels = gates, alpha, tau, kernels
        self._members = [_Members.of(member_ELN[:, layer]).on(gate.down.device) for layer, gate in enumerate(gates)]
        self._positions: Positions | None = None

    def see(self, positions: Positions) -> None:
        """What the coming forward call is fed."""
        self._positions = positions

    @contextmanager
    def attached(self) -> Iterator[Mix]:
        """Acting through hooks for the length of the block."""
        with ExitStack() as stack:
            for layer, gate in enumerate(self._gates):
                if len(self._members[layer].columns_C):
                    for handle in gate.watch(partial(self._hook, layer)):
                        stack.callback(handle.remove)
            yield self

    def rows(self, start: int, stop: int) -> Mix:
        """Mix of some rows of a batch: whatever rows `see` names."""
        return self

    def act(self, layer: int, gate_up_TM: Tensor, gated: Callable[[Tensor], Tensor]) -> Tensor:
        """h = SiLU(u) · up as `gated` makes it of u and up side by side; linear in g, so h is scaled as g would be."""
        h_TN = gated(gate_up_TM)
        members = self._members_on(layer, h_TN.device)
        if not len(columns_C := members.columns_C):
            return h_TN
        u_TN, positions = gate_up_TM[:, : h_TN.shape[1]], self._seen(len(h_TN), h_TN.device)
        if self._kernels and h_TN.is_cuda:
            from esn_dist.gates.kernels import mean_of_columns, scale_columns

            mean_BC = mean_of_columns(u_TN, columns_C, positions.part_T, positions.starts_R)
            scale_columns(h_TN, columns_C, positions.starts_R, self._gains(mean_BC, positions, members))
            return h_TN
        own_TC = self._gates[layer].activation(u_TN.index_select(-1, columns_C)).float()
        factor_TC = self._gains(_means(own_TC, positions), positions, members)[positions.row_T]
        scaled_TC = h_TN.index_select(-1, columns_C).float() * factor_TC
        return h_TN.index_copy_(-1, columns_C, scaled_TC.to(h_TN.dtype))

    def _hook(self, layer: int, u_BLN: Tensor, g_BLN: Tensor, routed: Routed | None) -> Tensor:
        members = self._members_on(layer, g_BLN.device)
        own_BLC = g_BLN.index_select(-1, members.columns_C).float()
        positions = self._seen(own_BLC.shape[0] * own_BLC.shape[1], g_BLN.device)
        s_BC = self._gains(_means(own_BLC.flatten(0, 1), positions), positions, members)
        return g_BLN.index_copy(-1, members.columns_C, (own_BLC * s_BC[:, None]).to(g_BLN.dtype))

    def _members_on(self, layer: int, device: torch.device) -> _Members:
        # An offloaded layer tells only now where it is executed; what it needs moves there once.
        members = self._members[layer] = self._members[layer].on(device)
        return members

    def _seen(self, tokens: int, device: torch.device) -> Positions:
        if self._positions is None or len(self._positions.part_T) != tokens:
            raise RuntimeError("a forward call was mixed before `see` named its positions")
        return self._positions.on(device)

    def _gains(self, mean_BC: Tensor, positions: Positions, members: _Members) -> Tensor:
        """The factor of every row and masked neuron, float32 [B, C], of the mean gates of each row."""
        # A product and a sum: a matrix product may be rounded to TF32 on a GPU.
        q_BE = (mean_BC[:, None] * members.share_EC).sum(-1)
        w_BE = (q_BE / self._tau).softmax(-1)
        s_BEC = (1 + self._alpha * w_BE)[..., None].where(members.share_EC > 0, -torch.inf)
        return s_BEC.amax(1).where(positions.counted_B1 > 0, 1.0)


def _means(own_TC: Tensor, positions: Positions) -> Tensor:
    """Float32 [B, C], over each row's counted positions."""
    # Padding may hold anything: it is left out before the sum, not multiplied by 0.
    sum_BC = positions.sums(own_TC.where((positions.part_T >= 0)[:, None], 0.0))
    return sum_BC / positions.counted_B1.clamp(min=1)


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
        if device in (self.columns_C.device, torch.device("meta")):  # a placeholder says nothing of where it will be
            return self
        return _Members(to_device_async(self.columns_C, device), to_device_async(self.share_EC, device))

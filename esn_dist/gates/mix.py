"""Mix (paper eqs. 14–16): every row's gates scaled by the mean gate of each emotion's mask in that row.

Per layer and emotion e, from the gates before scaling, in float32:
  q(e) = mean of g over the neurons of e's mask and over the row's counted positions of this forward call      (14)
  w(e) = exp(q(e)/τ) / Σ exp(q(e')/τ), over the emotions whose mask has a neuron in this layer                 (15)
  g'   = g · max over the masks that hold the neuron of (1 + α · w(e)); other neurons are not scaled             (16)
A forward call is a prompt (its counted positions, without special tokens and padding) or one decode step (the new
token). Layers act in order, so each sees the scaled gates below it. Every position of a row is scaled, counted or not.
The gains differ from row to row, so they cannot be folded into weights: Mix always acts at the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import ExpertRows, Gate
from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.protocols import ActivationObserver, SiluAndMul
from esn_dist.transfer import to_device_async


class Mix:
    """The intervention on one model; a `GateTransform` that is its own `ActivationObserver`.

    A row without a counted position has no evidence and is not scaled: its answer has ended.

    Args:
        member_ELN: bool, the mask of each emotion.
        alpha: gain, positive.
        temperature: τ, positive.
        kernels: whether packed gates on a GPU are scaled by Triton kernels, which need a C compiler there.

    Raises:
        TypeError: the layers are made of experts.
        ValueError: the masks have another shape than the model's gates.
    """

    def __init__(
        self,
        gates: Sequence[Gate],
        member_ELN: npt.NDArray[np.bool_],
        alpha: float,
        temperature: float,
        kernels: bool = True,
    ) -> None:
        if member_ELN.shape[1:] != (len(gates), gates[0].width):
            raise ValueError(f"masks of shape {member_ELN.shape[1:]} for gates of {(len(gates), gates[0].width)}")
        if gates[0].experts:
            raise TypeError("mix weighs all gates of a layer at once, but each token reaches the gates of few experts")
        self._gates, self._alpha, self._temperature, self._kernels = gates, alpha, temperature, kernels
        self._masks = [_LayerMasks.of(member_ELN[:, i]).to(gate.down.device) for i, gate in enumerate(gates)]
        self._positions: TokenPositions | None = None

    def applied(self) -> AbstractContextManager[None]:
        """Edits nothing in place. The observer does the scaling."""
        return nullcontext()

    def observer(self) -> ActivationObserver:
        """This transform, which is its own observer."""
        return self

    def begin_forward(self, positions: TokenPositions) -> None:
        """Announce the positions of the next forward call."""
        self._positions = positions

    @contextmanager
    def hooks(self) -> Iterator[Mix]:
        """Scale through hooks on the activations for the length of the block."""
        with ExitStack() as stack:
            for layer, gate in enumerate(self._gates):
                if len(self._masks[layer].columns_C):
                    for handle in gate.register_hook(partial(self._hook, layer)):
                        stack.callback(handle.remove)
            yield self

    def split(self, start: int, stop: int) -> Mix:
        """Mix keeps nothing of a row between calls, so it serves any part of a batch."""
        return self

    def transform_gate(self, layer: int, gate_up_TM: Tensor, silu_and_mul: SiluAndMul) -> Tensor:
        """SiLU(u) · up [T, N] of a layer, scaled; it is linear in g, so scaling it is scaling g."""
        # 1. [T, M] -> [T, N]: the layer's own step; without a mask here, that is all.
        h_TN = silu_and_mul(gate_up_TM)
        masks = self._masks_on(layer, h_TN.device)
        if not len(columns_C := masks.columns_C):
            return h_TN
        u_TN, positions = gate_up_TM[:, : h_TN.shape[1]], self._checked_positions(len(h_TN), h_TN.device)
        if self._kernels and h_TN.is_cuda:
            from esn_dist.gates.kernels import mean_of_columns, scale_columns

            # 2. [T, N] -> [B, C]: mean gates of each row; then [B, C] factors scale [T, C] in place.
            mean_BC = mean_of_columns(u_TN, columns_C, positions.part_T, positions.cu_seqlens)
            scale_columns(h_TN, columns_C, positions.cu_seqlens, self._factors(mean_BC, positions, masks))
            return h_TN
        # 3. The same in torch: [T, C] gates, [B, C] means and factors, [T, C] factors of each position's row.
        g_TC = self._gates[layer].activation(u_TN.index_select(-1, columns_C)).float()
        factor_TC = self._factors(_row_means(g_TC, positions), positions, masks)[positions.row_T]
        scaled_TC = h_TN.index_select(-1, columns_C).float() * factor_TC
        return h_TN.index_copy_(-1, columns_C, scaled_TC.to(h_TN.dtype))

    def _hook(self, layer: int, u_BSN: Tensor, g_BSN: Tensor, rows: ExpertRows | None) -> Tensor:
        masks = self._masks_on(layer, g_BSN.device)
        # 1. [B, S, N] -> [B, S, C]: the gates that any mask holds.
        g_BSC = g_BSN.index_select(-1, masks.columns_C).float()
        # 2. [B·S, C] -> [B, C]: means of each row, then its factors.
        positions = self._checked_positions(g_BSC.shape[0] * g_BSC.shape[1], g_BSN.device)
        factor_BC = self._factors(_row_means(g_BSC.flatten(0, 1), positions), positions, masks)
        # 3. [B, S, C] * [B, 1, C] -> back into [B, S, N].
        return g_BSN.index_copy(-1, masks.columns_C, (g_BSC * factor_BC[:, None]).to(g_BSN.dtype))

    def _masks_on(self, layer: int, device: torch.device) -> _LayerMasks:
        # Only a call tells where an offloaded layer is executed; its masks move there once.
        masks = self._masks[layer] = self._masks[layer].to(device)
        return masks

    def _checked_positions(self, tokens: int, device: torch.device) -> TokenPositions:
        if self._positions is None or len(self._positions.part_T) != tokens:
            raise RuntimeError("a forward call was mixed before `begin_forward` announced its positions")
        return self._positions.to(device)

    def _factors(self, mean_BC: Tensor, positions: TokenPositions, masks: _LayerMasks) -> Tensor:
        """The factor of every row and masked neuron, float32 [B, C], from the mean gates of each row."""
        # 1. [B, 1, C] * [E, C] -> [B, E]: q(e), eq. 14. No matrix product: a GPU may round one to TF32.
        q_BE = (mean_BC[:, None] * masks.share_EC).sum(-1)
        # 2. [B, E]: w(e), eq. 15.
        w_BE = (q_BE / self._temperature).softmax(-1)
        # 3. [B, E, C] -> [B, C]: the largest factor of the masks that hold the neuron, eq. 16.
        factor_BEC = (1 + self._alpha * w_BE)[..., None].where(masks.share_EC > 0, -torch.inf)
        # 4. [B, C] where [B, 1]: a row without a counted position keeps its gates.
        return factor_BEC.amax(1).where(positions.counted_B1 > 0, 1.0)


def _row_means(g_TC: Tensor, positions: TokenPositions) -> Tensor:
    """Float32 [B, C], means over each row's counted positions; 0 without any."""
    # Padding may hold anything, NaN too: it is replaced before the sum, not multiplied by 0.
    sum_BC = positions.sums(g_TC.where((positions.part_T >= 0)[:, None], 0.0))
    return sum_BC / positions.counted_B1.clamp(min=1)


@dataclass(frozen=True, slots=True)
class _LayerMasks:
    """The masks of one layer: the C neurons that any of them holds, and the E masks that hold one.

    Attributes:
        columns_C: int64, numbers of those neurons.
        share_EC: float32, 1 / (size of the mask in this layer) where it holds the neuron, else 0.
    """

    columns_C: Tensor
    share_EC: Tensor

    @classmethod
    def of(cls, member_EN: npt.NDArray[np.bool_]) -> _LayerMasks:
        columns_C = np.flatnonzero(member_EN.any(axis=0))
        member_EC = member_EN[member_EN.any(axis=1)][:, columns_C]
        share_EC = member_EC / member_EC.sum(axis=1, keepdims=True)
        return cls(torch.from_numpy(columns_C), torch.from_numpy(share_EC.astype(np.float32)))

    def to(self, device: torch.device) -> _LayerMasks:
        if device in (self.columns_C.device, torch.device("meta")):  # a placeholder does not tell where it will run
            return self
        return _LayerMasks(to_device_async(self.columns_C, device), to_device_async(self.share_EC, device))

"""Positive-activation counts: K = Σ_t m_t · [u > 0], per utterance, part and neuron (paper §3.1).

Counts the sign of u in the compute dtype: SiLU(u) > 0 exactly where u > 0, and u does not underflow. Sums are made on
the device of each layer. An expert's neurons are counted over the positions sent to it, whose number is kept too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import ExpertRows, Gate
from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.protocols import SiluAndMul
from esn_dist.terms import T_NOT_WRITTEN


class ActivationCounter:
    """Counts of one batch of utterances over any number of forward calls; an `ActivationObserver`.

    Positions of no part (padding, special tokens) are not counted.

    Args:
        kernels: whether gates on a GPU are counted by a Triton kernel, which needs a C compiler there.
    """

    def __init__(self, gates: Sequence[Gate], batch: int, parts: int, kernels: bool = True) -> None:
        self._gates, self._batch, self._parts, self._kernels = gates, batch, parts, kernels
        self._positions: TokenPositions | None = None
        self._splits: list[ActivationCounter] = []
        self._finished: dict[torch.device, torch.cuda.Event] = {}
        # Allocated by the first call, on the device that u is on.
        self._K_FN: list[Tensor | None] = [None] * len(gates)
        self._T_F: Tensor | None = None
        self._T_LBPX = torch.zeros(len(gates), batch, parts, max(1, gates[0].experts), dtype=torch.int32)

    def begin_forward(self, positions: TokenPositions) -> None:
        """Announce the positions of the next forward call, and count them."""
        self._positions = positions
        bin_T = self._bins(positions)
        T_F = self._zeros(bin_T.device) if self._T_F is None else self._T_F
        self._T_F = T_F.index_add(0, bin_T, torch.ones_like(bin_T, dtype=torch.int32))

    @contextmanager
    def hooks(self) -> Iterator[ActivationCounter]:
        """Count through hooks on the activations for the length of the block."""
        handles = [h for i, gate in enumerate(self._gates) for h in gate.register_hook(partial(self._hook, i))]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def split(self, start: int, stop: int) -> ActivationCounter:
        """The counter of rows `start` to `stop`; `result` joins all parts, which must be asked for in order.

        The rows are answered again, so counts made so far are dropped and their memory is freed.
        """
        self._K_FN, self._T_F = [None] * len(self._gates), None
        self._splits.append(ActivationCounter(self._gates, stop - start, self._parts, self._kernels))
        return self._splits[-1]

    def transform_gate(self, layer: int, gate_up_TM: Tensor, silu_and_mul: SiluAndMul) -> Tensor:
        """SiLU(u) · up [T, N] of a dense layer, unchanged; counts its u."""
        u_TN = gate_up_TM[:, : self._gates[layer].width]
        if not self._by_kernel(u_TN):
            self._count(layer, u_TN)
            return silu_and_mul(gate_up_TM)
        h_TN = torch.empty(u_TN.shape, dtype=u_TN.dtype, device=u_TN.device)
        self._count(layer, u_TN, h_TN)
        return h_TN

    def _count(self, layer: int, u_TN: Tensor, h_TN: Tensor | None = None) -> None:
        """Add the positive u of a dense layer; the kernel also fills `h_TN` with SiLU(u) · up where it is given."""
        positions = self._current_positions().to(u_TN.device)
        K_FN = self._layer_counts(layer, u_TN.device)
        if self._by_kernel(u_TN):
            from esn_dist.gates.kernels import count_positive

            K_BPN = K_FN[:-1].view(self._batch, self._parts, -1)
            count_positive(u_TN, positions.part_T, positions.cu_seqlens, K_BPN, h_TN)
        else:
            K_FN.index_add_(0, self._bins(positions), (u_TN > 0).int())

    def _by_kernel(self, u_TN: Tensor) -> bool:
        return self._kernels and u_TN.is_cuda

    def _hook(self, layer: int, u: Tensor, g: Tensor, rows: ExpertRows | None) -> None:
        if rows is not None:
            self._count_expert(layer, u > 0, rows, self._current_positions().to(u.device))
        else:
            self._count(layer, u.flatten(0, -2))

    def _current_positions(self) -> TokenPositions:
        if self._positions is None:
            raise RuntimeError("a forward call was counted before `begin_forward` announced its positions")
        return self._positions

    def _bins(self, positions: TokenPositions) -> Tensor:
        """int64 [T], the row of K and T in [0, F) that each position adds to."""
        bin_T = positions.row_T * self._parts + positions.part_T
        return bin_T.where(positions.part_T >= 0, self._batch * self._parts)

    def _zeros(self, device: torch.device, *width: int) -> Tensor:
        return torch.zeros(self._batch * self._parts + 1, *width, dtype=torch.int32, device=device)

    def _layer_counts(self, layer: int, device: torch.device) -> Tensor:
        """int32 [F, N], the counts of a layer so far."""
        K_FN = self._K_FN[layer]
        if K_FN is None:
            K_FN = self._K_FN[layer] = self._zeros(device, self._gates[layer].width)
        return K_FN

    def _count_expert(self, layer: int, positive_RI: Tensor, rows: ExpertRows, positions: TokenPositions) -> None:
        """Add the rows of one expert to the utterance and the part of each row's token."""
        # 1. [F, N] -> [F, I]: the columns of this expert's neurons.
        K_FN, width = self._layer_counts(layer, positive_RI.device), positive_RI.shape[1]
        K_FI = K_FN[:, rows.expert * width : (rows.expert + 1) * width]
        # 2. [T] -> [R]: the count row of each token that was sent here.
        bin_R = self._bins(positions)[rows.tokens_R]
        # 3. [R, I] -> [F, I]: how often each neuron was positive.
        K_FI.index_add_(0, bin_R, positive_RI.int())
        # 4. [R] -> [F] -> [B, P]: how many tokens were sent here.
        T_F = self._zeros(bin_R.device).index_add_(0, bin_R, torch.ones_like(bin_R, dtype=torch.int32))
        self._T_LBPX[layer, :, :, rows.expert] += T_F[:-1].view(self._batch, self._parts).cpu()

    def finish(self) -> None:
        """Mark the end of counting: `result` waits for no work that is queued on a device after this call."""
        devices = {x.device for x in (*self._K_FN, self._T_F) if x is not None and x.is_cuda}
        self._finished = {device: torch.cuda.current_stream(device).record_event() for device in devices}
        for part in self._splits:
            part.finish()

    def result(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """K [B, P, L, N] and T [B, P], both uint16.

        Raises:
            OverflowError: an utterance has more positions than uint16 holds.
            RuntimeError: a gate was never called: a fused kernel has replaced the MLP, or nothing ran.
        """
        if self._splits:
            results = [part.result() for part in self._splits]
            return np.concatenate([K for K, _ in results]), np.concatenate([T for _, T in results])
        counts = [K_FN for K_FN in self._K_FN if K_FN is not None]
        if self._T_F is None or len(counts) < len(self._gates):
            raise RuntimeError("a gate's activation was never called, so its counts would be zeros that mean nothing")
        if not self._finished:
            self.finish()
        T = self._to_host([self._T_F[:, None]])[..., 0, 0]
        if T.max(initial=0) >= T_NOT_WRITTEN:
            raise OverflowError(
                f"{T.max()} counted positions in one utterance; at most {T_NOT_WRITTEN - 1:,} can be stored"
            )
        # Narrowed before they leave the device: K <= T fits, and its 16 bits are the same, signed or not.
        stages = [self._to_host(list(same), torch.int16) for _, same in groupby(counts, lambda K_FN: K_FN.device)]
        K = stages[0] if len(stages) == 1 else np.concatenate(stages, axis=2)
        return K.view(np.uint16), T.astype(np.uint16)

    def _to_host(self, sums: Sequence[Tensor], dtype: torch.dtype = torch.int32) -> npt.NDArray[Any]:
        """Sums [F, N] of some layers of one device as one array [B, P, L, N] on the host."""
        device = sums[0].device

        def stacked() -> Tensor:
            # [F, N] -> [B, P, N] without the last count row, then one more axis of layers.
            return torch.stack([x[:-1].view(self._batch, self._parts, -1).to(dtype) for x in sums], dim=2)

        if device.type != "cuda":
            return stacked().numpy()
        stream = _fetch_stream(device)
        with torch.cuda.stream(stream):
            stream.wait_event(self._finished[device])
            # Torch makes page-locked memory for a copy that need not block; several times faster.
            host_copy = stacked().to("cpu", non_blocking=True)
        stream.synchronize()
        return host_copy.numpy()

    def expert_positions(self) -> npt.NDArray[np.uint16]:
        """T [B, P, L, X]: positions that were sent to each expert; the T of its neurons' P = K/T.

        Raises:
            TypeError: the model is dense.
        """
        if not self._gates[0].experts:
            raise TypeError("a dense model sends every position to every neuron: the T of `result` holds for all")
        if self._splits:
            return np.concatenate([part.expert_positions() for part in self._splits])
        return self._T_LBPX.permute(1, 2, 0, 3).numpy().astype(np.uint16)


@cache
def _fetch_stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream that fetches from a device: every further stream would cache memory separately."""
    return torch.cuda.Stream(device)

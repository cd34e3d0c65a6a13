"""Positive-activation counts: K = Σ_t m_t · [u > 0], per utterance, part and neuron (paper §3.1).

Counts the sign of u in the compute dtype: SiLU(u) > 0 exactly where u > 0, and u does not underflow. Sums are made
where the layer lies. An expert's neurons are counted over the positions routed to it, whose number is kept too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import Gate, Routed
from esn_dist.gates.positions import Positions


class Counter:
    """Counts of one batch of utterances over any number of forward calls.

    Before each call `see` names the part of every position; those of no part (padding, special tokens) count nowhere.

    Args:
        kernels: whether gates on a GPU are counted by a kernel of our own, which needs a compiler there.
    """

    def __init__(self, gates: Sequence[Gate], batch: int, parts: int, kernels: bool = True) -> None:
        self._gates, self._batch, self._parts, self._kernels = gates, batch, parts, kernels
        self._positions: Positions | None = None
        self._in_parts: list[Counter] = []
        self._counted: dict[torch.device, torch.cuda.Event] = {}
        # Made at the first call, on the device that u is on. One row more than asked for takes what is of no part.
        self._K_XN: list[Tensor | None] = [None] * len(gates)
        self._T_X: Tensor | None = None
        self._T_LBPE = torch.zeros(len(gates), batch, parts, max(1, gates[0].experts), dtype=torch.int32)

    def see(self, positions: Positions) -> None:
        """What the coming forward call is fed."""
        self._positions = positions
        bin_T = self._bins(positions)
        before = self._empty(bin_T.device) if self._T_X is None else self._T_X
        self._T_X = before.index_add(0, bin_T, torch.ones_like(bin_T, dtype=torch.int32))

    @contextmanager
    def attached(self) -> Iterator[Counter]:
        """Hooks in place for the length of the block."""
        handles = [handle for i, gate in enumerate(self._gates) for handle in gate.watch(partial(self._hook, i))]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def rows(self, start: int, stop: int) -> Counter:
        """A counter of some rows, all of which are given out in order; `result` joins them.

        What was counted before is forgotten, and its memory given back: it is counted again.
        """
        self._K_XN, self._T_X = [None] * len(self._gates), None
        self._in_parts.append(Counter(self._gates, stop - start, self._parts, self._kernels))
        return self._in_parts[-1]

    def act(self, layer: int, gate_up_TM: Tensor, gated: Callable[[Tensor], Tensor]) -> Tensor:
        """SiLU(u) · up as `gated` makes it of u and up side by side; counts u of `layer`, a dense one."""
        u_TN = gate_up_TM[:, : self._gates[layer].width]
        if not self._by_kernel(u_TN):
            self._count(layer, u_TN)
            return gated(gate_up_TM)
        h_TN = torch.empty(u_TN.shape, dtype=u_TN.dtype, device=u_TN.device)
        self._count(layer, u_TN, h_TN)
        return h_TN

    def _count(self, layer: int, u_TN: Tensor, h_TN: Tensor | None = None) -> None:
        positions = self._seen().on(u_TN.device)
        K_XN = self._K_XN[layer]
        if K_XN is None:
            K_XN = self._K_XN[layer] = self._empty(u_TN.device, u_TN.shape[-1])
        if self._by_kernel(u_TN):
            from esn_dist.gates.kernels import counted

            K_BPN = K_XN[:-1].view(self._batch, self._parts, -1)
            counted(u_TN, positions.part_T, positions.starts_R, K_BPN, h_TN)
        else:
            K_XN.index_add_(0, self._bins(positions), (u_TN > 0).int())

    def _by_kernel(self, u_TN: Tensor) -> bool:
        return self._kernels and u_TN.is_cuda

    def _hook(self, layer: int, u: Tensor, g: Tensor, routed: Routed | None) -> None:
        if routed is not None:
            self._count_expert(layer, u > 0, routed, self._seen().on(u.device))
        else:
            self._count(layer, u.flatten(0, -2))

    def _seen(self) -> Positions:
        if self._positions is None:
            raise RuntimeError("a forward call was counted before `see` named its positions")
        return self._positions

    def _bins(self, positions: Positions) -> Tensor:
        """The row of K and T that each position adds to."""
        bin_T = positions.row_T * self._parts + positions.part_T
        return bin_T.where(positions.part_T >= 0, self._batch * self._parts)

    def _empty(self, device: torch.device, *width: int) -> Tensor:
        return torch.zeros(self._batch * self._parts + 1, *width, dtype=torch.int32, device=device)

    def _count_expert(self, layer: int, positive_RI: Tensor, routed: Routed, positions: Positions) -> None:
        """Rows of one expert, added to the utterance and the part that each row's token belongs to."""
        K_XN = self._K_XN[layer]
        if K_XN is None:
            K_XN = self._K_XN[layer] = self._empty(positive_RI.device, self._gates[layer].width)
        width = positive_RI.shape[1]
        mine = slice(routed.expert * width, (routed.expert + 1) * width)
        bin_R = self._bins(positions)[routed.tokens_R]
        K_XN[:, mine].index_add_(0, bin_R, positive_RI.int())
        here_X = self._empty(bin_R.device).index_add_(0, bin_R, torch.ones_like(bin_R, dtype=torch.int32))
        self._T_LBPE[layer, :, :, routed.expert] += here_X[:-1].view(self._batch, self._parts).cpu()

    def seal(self) -> None:
        """Nothing more will be counted: `result` waits for nothing that a device is asked from now on."""
        devices = {x.device for x in (*self._K_XN, self._T_X) if x is not None and x.is_cuda}
        self._counted = {device: torch.cuda.current_stream(device).record_event() for device in devices}
        for part in self._in_parts:
            part.seal()

    def result(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """K[utterance, part, layer, neuron] and T[utterance, part], both uint16.

        Raises:
            OverflowError: an utterance has more positions than uint16 holds.
            RuntimeError: a gate was never called: a fused kernel has replaced the MLP, or nothing ran.
        """
        if self._in_parts:
            results = [part.result() for part in self._in_parts]
            return np.concatenate([K for K, _ in results]), np.concatenate([T for _, T in results])
        counts = [k for k in self._K_XN if k is not None]
        if self._T_X is None or len(counts) < len(self._gates):
            raise RuntimeError("a gate's activation was never called, so its counts would be zeros that mean nothing")
        if not self._counted:
            self.seal()
        T = self._fetched([self._T_X[:, None]])[..., 0, 0]
        if T.max(initial=0) >= np.iinfo(np.uint16).max:
            raise OverflowError(f"{T.max()} counted positions in one utterance; at most 65,534 can be stored")
        # Narrowed before they leave the device: K <= T fits, and its 16 bits are the same, signed or not.
        stages = [self._fetched(list(same), torch.int16) for _, same in groupby(counts, lambda k: k.device)]
        K = stages[0] if len(stages) == 1 else np.concatenate(stages, axis=2)
        return K.view(np.uint16), T.astype(np.uint16)

    def _fetched(self, sums: Sequence[Tensor], dtype: torch.dtype = torch.int32) -> npt.NDArray[Any]:
        """Sums [X, N] of some layers of one device, on the host: [utterance, part, layer, N]."""
        device = sums[0].device

        def joined() -> Tensor:
            return torch.stack([x[:-1].view(self._batch, self._parts, -1).to(dtype) for x in sums], dim=2)

        if device.type != "cuda":
            return joined().numpy()
        stream = _fetching(device)
        with torch.cuda.stream(stream):
            stream.wait_event(self._counted[device])
            # Page-locked, as torch makes it where it need not block: some times faster.
            home = joined().to("cpu", non_blocking=True)
        stream.synchronize()
        return home.numpy()

    def routed(self) -> npt.NDArray[np.uint16]:
        """T[utterance, part, layer, expert]: positions that were sent to each expert; the T of its neurons' P = K/T."""
        if not self._gates[0].experts:
            raise TypeError("a dense model sends every position to every neuron: T of `result` is all there is")
        if self._in_parts:
            return np.concatenate([part.routed() for part in self._in_parts])
        return self._T_LBPE.permute(1, 2, 0, 3).numpy().astype(np.uint16)


@cache
def _fetching(device: torch.device) -> torch.cuda.Stream:
    """One stream for all that is fetched from a device: each would keep memory of its own."""
    return torch.cuda.Stream(device)

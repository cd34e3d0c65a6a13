"""Positive-activation counts: K = Σ_t m_t · [u > 0], per utterance, part and neuron (paper §3.1).

Counts the sign of u in the compute dtype: SiLU(u) > 0 exactly where u > 0, and u does not underflow. Sums are made
where the layer lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from esn_dist.gates.find import Gate


class Counter:
    """Counts of one batch of utterances over any number of forward calls.

    Before each call `see` names the part of every position; those of no part (padding, special tokens) count nowhere.
    """

    def __init__(self, gates: Sequence[Gate], batch: int, parts: int) -> None:
        self._gates = gates
        self._member_PBL: Tensor | None = None
        self._K_BPN: list[Tensor | None] = [None] * len(gates)  # made at the first call, on the device that u is on
        self._T_BP = torch.zeros(batch, parts, dtype=torch.int32)

    def see(self, part_BL: Tensor) -> None:
        """The part (int, −1 for none) of each position of the coming forward call."""
        parts = torch.arange(self._T_BP.shape[1], device=part_BL.device)
        self._member_PBL = part_BL[None] == parts[:, None, None]
        self._T_BP += self._member_PBL.sum(-1, dtype=torch.int32).T.cpu()

    @contextmanager
    def attached(self) -> Iterator[Counter]:
        """Hooks in place for the length of the block."""
        handles = [g.activation.register_forward_hook(partial(self._count, i)) for i, g in enumerate(self._gates)]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _count(self, index: int, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if self._member_PBL is None:
            raise RuntimeError("a forward call was counted before `see` named its positions")
        positive_BLN = args[0] > 0
        member_PBL = self._member_PBL.to(positive_BLN.device)
        K_BPN = torch.stack([(positive_BLN & m[..., None]).sum(1, dtype=torch.int32) for m in member_PBL], dim=1)
        before = self._K_BPN[index]
        self._K_BPN[index] = K_BPN if before is None else before + K_BPN

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

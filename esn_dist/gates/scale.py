"""Interventions as data: every gate multiplied by a scale s[layer, neuron] (paper eqs. 8–11), in one of two equal ways.

*Fold*: column n of `down_proj` is multiplied by s_n, and restored from a kept copy; no cost while answering.
*Gate*: g itself is multiplied, where weights are not resident (offload leaves placeholders) or the scale is not fixed.
Both multiply in float32 and round once: equal bit for bit at s = 0 and powers of two, else within one rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import Gate, Routed
from esn_dist.transfer import to_device_async

How = Literal["fold", "gate"]


def can_fold(gates: Sequence[Gate]) -> bool:
    """Whether every layer's weights are in memory: an in-place edit of a placeholder silently does nothing."""
    return not any(gate.down.is_meta for gate in gates)


class Scale:
    """One intervention, ready to be applied any number of times without a wait for the device.

    Args:
        member_LN: bool, the mask.
        scale: what its gates are multiplied by, at every position.
        how: `fold` or `gate`.

    Raises:
        ValueError: the mask has another shape than the model's gates, or `fold` is asked for placeholders.
    """

    def __init__(self, gates: Sequence[Gate], member_LN: npt.NDArray[np.bool_], scale: float, how: How) -> None:
        if member_LN.shape != (len(gates), gates[0].width):
            raise ValueError(f"a mask of shape {member_LN.shape} for gates of shape {(len(gates), gates[0].width)}")
        if how == "fold" and not can_fold(gates):
            raise ValueError("weights are offloaded placeholders: scale at the gate instead of folding")
        one = partial(_folded, scale=scale) if how == "fold" else partial(_at_gate, scale=scale)
        members = zip(gates, member_LN, strict=True)
        self._layers = [one(gate, np.flatnonzero(member_N)) for gate, member_N in members if member_N.any()]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Acting for the length of the block."""
        with ExitStack() as stack:
            for layer in self._layers:
                stack.enter_context(layer())
            yield


def scaled(
    gates: Sequence[Gate], member_LN: npt.NDArray[np.bool_], scale: float, how: How
) -> AbstractContextManager[None]:
    """A `Scale` applied for the length of a block."""
    return Scale(gates, member_LN, scale, how).applied()


def _folded(gate: Gate, neurons: npt.NDArray[np.intp], scale: float) -> Callable[[], AbstractContextManager[None]]:
    at = np.unravel_index(neurons, gate.down.transpose(-1, -2).shape[:-1])
    index = tuple(to_device_async(torch.from_numpy(i), gate.down.device) for i in at)

    @contextmanager
    def applied() -> Iterator[None]:
        columns = gate.down.data.transpose(-1, -2)  # a view: [N, D], or [E, I, D] of experts
        kept = columns[index]
        columns[index] = (kept.float() * scale).to(kept.dtype)
        try:
            yield
        finally:
            columns[index] = kept

    return applied


def _at_gate(gate: Gate, neurons: npt.NDArray[np.intp], scale: float) -> Callable[[], AbstractContextManager[None]]:
    s_N = torch.ones(gate.width, dtype=torch.float32)
    s_N[torch.as_tensor(neurons)] = scale
    s_EI = s_N.view(max(1, gate.experts), -1)

    def multiply(u: Tensor, g: Tensor, routed: Routed | None) -> Tensor:
        nonlocal s_EI
        s_EI = s_EI.to(g.device)  # once: where the layer is executed, which its (offloaded) weights may not tell
        return (g.float() * s_EI[routed.expert if routed else 0]).to(g.dtype)

    @contextmanager
    def applied() -> Iterator[None]:
        handles = gate.watch(multiply)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    return applied

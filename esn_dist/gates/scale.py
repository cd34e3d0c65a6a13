"""Interventions as data: every gate multiplied by a scale s[layer, neuron] (paper eqs. 8–11), in one of two equal ways.

*Fold*: column n of `down_proj` is multiplied by s_n, and restored from a kept copy; no cost while answering.
*Gate*: g itself is multiplied, where weights are not resident (offload leaves placeholders) or the scale is not fixed.
Both multiply in float32 and round once: equal bit for bit at s = 0 and powers of two, else within one rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import Gate, Routed

How = Literal["fold", "gate"]


def can_fold(gates: Sequence[Gate]) -> bool:
    """Whether every layer's weights are in memory: an in-place edit of a placeholder silently does nothing."""
    return not any(gate.down.is_meta for gate in gates)


@contextmanager
def scaled(gates: Sequence[Gate], member_LN: npt.NDArray[np.bool_], scale: float, how: How) -> Iterator[None]:
    """Within the block, the gates that are members of the mask are multiplied by `scale` at every position.

    Raises:
        ValueError: the mask has another shape than the model's gates, or `fold` is asked for placeholders.
    """
    if member_LN.shape != (len(gates), gates[0].width):
        raise ValueError(f"a mask of shape {member_LN.shape} for gates of shape {(len(gates), gates[0].width)}")
    if how == "fold" and not can_fold(gates):
        raise ValueError("weights are offloaded placeholders: scale at the gate instead of folding")
    one = _folded if how == "fold" else _at_gate
    with ExitStack() as stack:
        for gate, member_N in zip(gates, member_LN, strict=True):
            if member_N.any():
                stack.enter_context(one(gate, np.flatnonzero(member_N), scale))
        yield


@contextmanager
def _folded(gate: Gate, neurons: npt.NDArray[np.intp], scale: float) -> Iterator[None]:
    columns = gate.down.data.transpose(-1, -2)  # a view: [N, D], or [E, I, D] of experts
    index = tuple(torch.as_tensor(i, device=columns.device) for i in np.unravel_index(neurons, columns.shape[:-1]))
    kept = columns[index]
    columns[index] = (kept.float() * scale).to(kept.dtype)
    try:
        yield
    finally:
        columns[index] = kept


@contextmanager
def _at_gate(gate: Gate, neurons: npt.NDArray[np.intp], scale: float) -> Iterator[None]:
    s_N = torch.ones(gate.width, dtype=torch.float32)
    s_N[torch.as_tensor(neurons)] = scale
    s_EI = s_N.view(max(1, gate.experts), -1)

    def multiply(u: Tensor, g: Tensor, routed: Routed | None) -> Tensor:
        nonlocal s_EI
        s_EI = s_EI.to(g.device)  # once: where the layer is executed, which its (offloaded) weights may not tell
        return (g.float() * s_EI[routed.expert if routed else 0]).to(g.dtype)

    handles = gate.watch(multiply)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

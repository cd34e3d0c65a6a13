"""Interventions as data: every gate multiplied by a scale s[layer, neuron] (paper eqs. 8–11), in one of two equal ways.

*Fold*: column n of `down_proj` is multiplied by s_n, and restored from a kept copy; no cost while answering.
*Gate*: g itself is multiplied, where weights are not resident (offload leaves placeholders) or the scale is not fixed.
Both multiply in float32 and round once: equal bit for bit at s = 0 and powers of two, else within one rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from esn_dist.gates.find import Gate

How = Literal["fold", "gate"]


def can_fold(gates: Sequence[Gate]) -> bool:
    """Whether every layer's weights are in memory: an in-place edit of a placeholder silently does nothing."""
    return not any(gate.weight_DN.is_meta for gate in gates)


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
                columns = torch.as_tensor(np.flatnonzero(member_N), device=gate.weight_DN.device)
                stack.enter_context(one(gate, columns, scale))
        yield


@contextmanager
def _folded(gate: Gate, columns: Tensor, scale: float) -> Iterator[None]:
    weight_DN = gate.weight_DN.data
    kept = weight_DN.index_select(1, columns)
    weight_DN.index_copy_(1, columns, (kept.float() * scale).to(kept.dtype))
    try:
        yield
    finally:
        weight_DN.index_copy_(1, columns, kept)


@contextmanager
def _at_gate(gate: Gate, columns: Tensor, scale: float) -> Iterator[None]:
    s_N = torch.ones(gate.width, dtype=torch.float32, device=columns.device).index_fill(0, columns, scale)
    handle = gate.activation.register_forward_hook(partial(_multiply, s_N))
    try:
        yield
    finally:
        handle.remove()


def _multiply(s_N: Tensor, module: nn.Module, args: tuple[Any, ...], g: Tensor) -> Tensor:
    return (g.float() * s_N.to(g.device)).to(g.dtype)

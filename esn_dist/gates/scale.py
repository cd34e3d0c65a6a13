"""Interventions as data: every gate multiplied by a scale s[layer, neuron] (paper eqs. 8–11), by one of two methods.

*fold*: column n of `down_proj` is multiplied by s_n, and restored from a kept copy; no cost while answering.
*gate*: g itself is multiplied, where weights are not resident (offload leaves placeholders) or the scale is not fixed.
Both multiply in float32 and round once: equal bit for bit at s = 0 and powers of two, else within one rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.find import ExpertRows, Gate
from esn_dist.transfer import to_device_async

ScaleMethod = Literal["fold", "gate"]


def can_fold(gates: Sequence[Gate]) -> bool:
    """Whether every layer's weights are in memory: an in-place edit of a placeholder silently does nothing."""
    return not any(gate.down.is_meta for gate in gates)


class Scale:
    """Gates of a mask times a factor; a `GateTransform` without an observer.

    It can be applied any number of times, without a wait for the device.

    Args:
        member_LN: bool, the mask.
        scale: the factor of its gates, at every position.
        method: `fold` or `gate`.

    Raises:
        ValueError: the mask has another shape than the model's gates, or `fold` is asked for placeholders.
    """

    def __init__(
        self, gates: Sequence[Gate], member_LN: npt.NDArray[np.bool_], scale: float, method: ScaleMethod
    ) -> None:
        if member_LN.shape != (len(gates), gates[0].width):
            raise ValueError(f"a mask of shape {member_LN.shape} for gates of shape {(len(gates), gates[0].width)}")
        if method == "fold" and not can_fold(gates):
            raise ValueError("weights are offloaded placeholders: scale at the gate instead of folding")
        scale_layer = _fold_layer if method == "fold" else _scale_layer_at_gate
        layers = [(gate, member_N) for gate, member_N in zip(gates, member_LN, strict=True) if member_N.any()]
        self._layers = [scale_layer(gate, np.flatnonzero(member_N), scale) for gate, member_N in layers]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Scale the gates for the length of the block."""
        with ExitStack() as stack:
            for layer in self._layers:
                stack.enter_context(layer())
            yield

    def observer(self) -> None:
        """None: no forward call needs an observer."""


def scaled(
    gates: Sequence[Gate], member_LN: npt.NDArray[np.bool_], scale: float, method: ScaleMethod
) -> AbstractContextManager[None]:
    """A `Scale` applied for the length of a block."""
    return Scale(gates, member_LN, scale, method).applied()


LayerScale = Callable[[], AbstractContextManager[None]]


def _fold_layer(gate: Gate, neurons: npt.NDArray[np.intp], scale: float) -> LayerScale:
    """Scales the C columns of a layer's down projection that read `neurons`."""
    # 1. Neuron numbers -> indices into the projection's columns: [N], or [X, I] of experts.
    indices = np.unravel_index(neurons, gate.down.transpose(-1, -2).shape[:-1])
    index = tuple(to_device_async(torch.from_numpy(i), gate.down.device) for i in indices)

    @contextmanager
    def applied() -> Iterator[None]:
        # 2. A view of the weights by column: [N, D], or [X, I, D] of experts.
        columns = gate.down.data.transpose(-1, -2)
        # 3. [C, D]: a copy to restore from, and the product in float32, rounded once.
        original_CD = columns[index]
        columns[index] = (original_CD.float() * scale).to(original_CD.dtype)
        try:
            yield
        finally:
            columns[index] = original_CD

    return applied


def _scale_layer_at_gate(gate: Gate, neurons: npt.NDArray[np.intp], scale: float) -> LayerScale:
    """Scales the activation's output: s is 1 but for `neurons`."""
    s_N = torch.ones(gate.width, dtype=torch.float32)
    s_N[torch.as_tensor(neurons)] = scale
    s_XI = s_N.view(max(1, gate.experts), -1)  # a dense layer is one expert

    def multiply(u: Tensor, g: Tensor, rows: ExpertRows | None) -> Tensor:
        nonlocal s_XI
        s_XI = s_XI.to(g.device)  # once: only a call tells where an offloaded layer is executed
        return (g.float() * s_XI[rows.expert if rows else 0]).to(g.dtype)

    @contextmanager
    def applied() -> Iterator[None]:
        handles = gate.register_hook(multiply)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    return applied

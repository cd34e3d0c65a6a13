"""Finds every gated MLP of a decoder by its structure, never by a class name.

A gated MLP is a module with `gate_proj`, `up_proj`, `down_proj` and an activation `act_fn` of its own:
output = down_proj(act_fn(gate_proj(x)) · up_proj(x)). The gate is g = act_fn(u), u = gate_proj(x) (paper §3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn


class NoGates(Exception):
    """The model has no gate of the supported form; the message names what was found instead."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gated MLP of one decoder layer.

    Attributes:
        layer: index of the decoder layer.
        activation: module whose input is u [..., N] and whose output is g [..., N].
        down_proj: linear layer that reads the gated stream; weight [D, N].
    """

    layer: int
    activation: nn.Module
    down_proj: nn.Linear

    @property
    def weight_DN(self) -> Tensor:
        return self.down_proj.weight

    @property
    def width(self) -> int:
        """Neurons N of the layer."""
        return int(self.weight_DN.shape[1])


def find_gates(decoder: nn.Module) -> tuple[Gate, ...]:
    """The gates of `decoder.layers`, in order.

    Raises:
        NoGates: a layer has no gated MLP, or layers share one activation module (no hook could tell them apart).
    """
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise NoGates(f"{type(decoder).__name__} has no list of decoder layers")
    gates = tuple(_gate(index, layer) for index, layer in enumerate(layers))
    if len({id(gate.activation) for gate in gates}) < len(gates):
        raise NoGates(f"the layers of {type(decoder).__name__} share one activation module")
    if len({gate.width for gate in gates}) > 1:
        raise NoGates(f"the layers of {type(decoder).__name__} have gates of different widths")
    return gates


def _gate(index: int, layer: nn.Module) -> Gate:
    mlps = [m for m in layer.modules() if all(hasattr(m, name) for name in ("gate_proj", "up_proj", "down_proj"))]
    if len(mlps) != 1:
        raise NoGates(
            f"layer {index} ({type(layer).__name__}) has {len(mlps)} modules with gate_proj, up_proj, down_proj"
        )
    activation = getattr(mlps[0], "act_fn", None)
    if not isinstance(activation, nn.Module):
        raise NoGates(
            f"layer {index}: the activation of {type(mlps[0]).__name__} is not a module, so it cannot be seen"
        )
    return Gate(index, activation, cast(nn.Linear, mlps[0].down_proj))

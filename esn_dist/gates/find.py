"""Finds every gated MLP of a decoder by its structure, never by a class name.

Three structures: `gate_proj`, `up_proj`, `down_proj`; a fused `gate_up_proj` with `down_proj`; and experts, whose
`gate_up_proj` and `down_proj` are 3-D parameters. In each, output = down(act(u) · up(x)) with an activation module of
the layer's own, whose input is u and whose output is the gate g = act(u) (paper §3.1). What is done with a gate is not
known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

ACTIVATION_NAMES = ("act_fn", "activation_fn")


class NoGates(Exception):
    """The model has no gate of the supported form; the message names what was found instead."""


@dataclass(frozen=True, slots=True)
class Routed:
    """What the rows of one expert's activation are: rows [R, I] of `expert`, R token numbers counted over the batch."""

    expert: int
    tokens_R: Tensor


Watcher = Callable[[Tensor, Tensor, Routed | None], Tensor | None]
"""Sees u and g (dense: [B, L, N] and None; an expert: [R, I] and its routing); may return what replaces g."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gated MLP of one decoder layer.

    Attributes:
        layer: index of the decoder layer.
        activation: module whose input is u [..., N] and whose output is g [..., N].
        down_proj: what reads the gated stream: a linear layer, or the module that holds the experts' parameter.
        experts: their number; 0 where the layer is dense. Neuron (e, i) has number e · I + i.
    """

    layer: int
    activation: nn.Module
    down_proj: nn.Module
    experts: int = 0

    @property
    def down(self) -> Tensor:
        """The weights that read the gates: [D, N], or [E, D, I] of experts."""
        return cast(Tensor, self.down_proj.down_proj if self.experts else self.down_proj.weight)

    @property
    def weight_DN(self) -> Tensor:
        """The down projection's weight of a dense layer."""
        if self.experts:
            raise TypeError(f"layer {self.layer} has experts, whose weights are no matrix")
        return self.down

    @property
    def width(self) -> int:
        """Neurons N of the layer, those of all its experts together."""
        return int(self.down.shape[-1]) * max(1, self.experts)

    def watch(self, watcher: Watcher) -> list[RemovableHandle]:
        """Hooks that show every call of the activation to `watcher`, until they are removed."""
        if self.experts:
            return _watch_experts(self, watcher)
        return [self.activation.register_forward_hook(lambda module, args, g: watcher(args[0], g, None))]


def find_gates(decoder: nn.Module, sparse: bool = False) -> tuple[Gate, ...]:
    """The gates of `decoder.layers`, in order.

    Args:
        sparse: whether gates are wanted of which a top-k sets most to zero before the activation. Their u is what the
            top-k leaves, so they count as positive where they survive it.

    Raises:
        NoGates: a layer has no gated MLP or several, layers share one activation module (no hook could tell them
            apart) or differ in width, or the gates are sparse by construction, so that counts mean something else, and
            nobody asked for such.
    """
    name = type(decoder).__name__
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise NoGates(f"{name} has no list of decoder layers")
    gates = tuple(_gate(index, layer, sparse) for index, layer in enumerate(layers))
    if len({id(gate.activation) for gate in gates}) < len(gates):
        raise NoGates(f"the layers of {name} share one activation module")
    if len(shapes := {(gate.width, gate.experts) for gate in gates}) > 1:
        told = ", ".join(f"{width} neurons" + (f" in {e} experts" if e else "") for width, e in sorted(shapes))
        raise NoGates(f"the layers of {name} have gates of different widths: {told}")
    return gates


def _gate(index: int, layer: nn.Module, sparse: bool) -> Gate:
    mlps = [m for m in layer.modules() if _is_gated(m)]
    if len(mlps) != 1:
        inside = ", ".join(sorted({type(m).__name__ for m in layer.children()}))
        found = " and ".join(type(m).__name__ for m in mlps) or "none"
        raise NoGates(
            f"layer {index} ({type(layer).__name__} of {inside}) should have one gated MLP (gate and up projection, "
            f"fused or not, and a down projection) but has: {found}"
        )
    mlp = mlps[0]
    activations = [m for name in ACTIVATION_NAMES if isinstance(m := getattr(mlp, name, None), nn.Module)]
    if len(activations) != 1:
        raise NoGates(f"layer {index}: the activation of {type(mlp).__name__} is not a module, so it cannot be seen")
    if not sparse and (share := float(getattr(mlp, "activation_sparsity", 0.0))) > 0:
        raise NoGates(
            f"layer {index}: {share:.0%} of the gates of {type(mlp).__name__} are set to zero by a top-k before the "
            "activation, so positive-activation counts mean something else"
        )
    if isinstance(down := getattr(mlp, "down_proj", None), nn.Parameter):
        return Gate(index, activations[0], mlp, experts=int(down.shape[0]))
    return Gate(index, activations[0], cast(nn.Module, down))


def _is_gated(module: nn.Module) -> bool:
    def has(*names: str, form: type) -> bool:
        return all(isinstance(getattr(module, name, None), form) for name in names)

    if has("gate_up_proj", "down_proj", form=nn.Parameter):
        return getattr(module, "down_proj", torch.empty(0)).dim() == 3
    return has("gate_proj", "up_proj", "down_proj", form=nn.Module) or has("gate_up_proj", "down_proj", form=nn.Module)


def _watch_experts(gate: Gate, watcher: Watcher) -> list[RemovableHandle]:
    """Experts name their tokens to nobody: the routing of the call is read beside it, in the order of `eager`."""
    coming: list[Routed] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        top_TK = kwargs["top_k_index"] if "top_k_index" in kwargs else args[1]
        coming[:] = _routing(top_TK, gate.experts)

    def during(module: nn.Module, args: tuple[Any, ...], g: Tensor) -> Tensor | None:
        if not coming or len(coming[0].tokens_R) != len(g):
            raise RuntimeError("experts were not called one by one: load the model with the `eager` implementation")
        return watcher(args[0], g, coming.pop(0))

    return [
        gate.down_proj.register_forward_pre_hook(before, with_kwargs=True),
        gate.activation.register_forward_hook(during),
    ]


def _routing(top_TK: Tensor, experts: int) -> Iterator[Routed]:
    """Experts that any token is sent to, in order, each with its tokens in the order (choice, token)."""
    for expert in range(experts):
        tokens_R = torch.eq(top_TK.T, expert).nonzero()[:, 1]
        if len(tokens_R):
            yield Routed(expert, tokens_R)

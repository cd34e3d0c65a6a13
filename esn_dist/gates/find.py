"""Finds every gated MLP of a decoder by its structure, never by a class name.

Three structures are supported: `gate_proj`, `up_proj`, `down_proj`; a fused `gate_up_proj` with `down_proj`; and
experts, whose `gate_up_proj` and `down_proj` are 3-D parameters. In each, output = down(act(u) · up(x)). Every layer
has its own activation module, whose input is u and whose output is the gate g = act(u) (paper §3.1). Knows no use of a
gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

ACTIVATION_NAMES = ("act_fn", "activation_fn")


class UnsupportedGates(Exception):
    """The model has no gate of a supported structure; the message names what it has instead."""


@dataclass(frozen=True, slots=True)
class ExpertRows:
    """The tokens behind the rows [R, I] of one expert's activation.

    Attributes:
        expert: its number.
        tokens_R: int64, numbers of the tokens sent to it, counted over the batch.
    """

    expert: int
    tokens_R: Tensor


GateHook = Callable[[Tensor, Tensor, ExpertRows | None], Tensor | None]
"""Gets u and g (dense: [B, S, N] and None; an expert: [R, I] and its tokens); may return what replaces g."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gated MLP of one decoder layer.

    Attributes:
        layer: index of the decoder layer.
        activation: module whose input is u [..., N] and whose output is g [..., N].
        down_proj: the module that reads the gates: a linear layer, or the one that holds the experts' parameter.
        experts: their number; 0 where the layer is dense. Neuron (x, i) has number x · I + i.
    """

    layer: int
    activation: nn.Module
    down_proj: nn.Module
    experts: int = 0

    @property
    def down(self) -> Tensor:
        """The weights that read the gates: [D, N], or [X, D, I] of experts."""
        return cast(Tensor, self.down_proj.down_proj if self.experts else self.down_proj.weight)

    @property
    def width(self) -> int:
        """Neurons N of the layer; the neurons of all its experts together."""
        return int(self.down.shape[-1]) * max(1, self.experts)

    def register_hook(self, hook: GateHook) -> list[RemovableHandle]:
        """Call `hook` after every call of the activation, until the handles are removed."""
        if self.experts:
            return _register_expert_hooks(self, hook)
        return [self.activation.register_forward_hook(lambda module, args, g: hook(args[0], g, None))]


def find_gates(decoder: nn.Module, sparse: bool = False) -> tuple[Gate, ...]:
    """The gates of `decoder.layers`, in order.

    Args:
        sparse: whether sparse gates are accepted, most of which a top-k sets to zero before the activation. Their u is
            what the top-k leaves, so they count as positive where they survive it.

    Raises:
        UnsupportedGates: a layer has no gated MLP or several; layers share one activation module, so that no hook
            could tell them apart; layers differ in width; or gates are sparse and `sparse` is False.
    """
    name = type(decoder).__name__
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise UnsupportedGates(f"{name} has no list of decoder layers")
    gates = tuple(_gate(index, layer, sparse) for index, layer in enumerate(layers))
    if len({id(gate.activation) for gate in gates}) < len(gates):
        raise UnsupportedGates(f"the layers of {name} share one activation module")
    if len(shapes := {(gate.width, gate.experts) for gate in gates}) > 1:
        sizes = ", ".join(f"{width} neurons" + (f" in {x} experts" if x else "") for width, x in sorted(shapes))
        raise UnsupportedGates(f"the layers of {name} have gates of different widths: {sizes}")
    return gates


def _gate(index: int, layer: nn.Module, sparse: bool) -> Gate:
    mlp = _gated_mlp(index, layer)
    activations = [m for name in ACTIVATION_NAMES if isinstance(m := getattr(mlp, name, None), nn.Module)]
    if len(activations) != 1:
        raise UnsupportedGates(
            f"layer {index}: the activation of {type(mlp).__name__} is no module, so no hook can be attached"
        )
    if not sparse and (share := float(getattr(mlp, "activation_sparsity", 0.0))) > 0:
        raise UnsupportedGates(
            f"layer {index}: {share:.0%} of the gates of {type(mlp).__name__} are set to zero by a top-k before the "
            "activation, so positive-activation counts mean something else"
        )
    if isinstance(down := getattr(mlp, "down_proj", None), nn.Parameter):
        return Gate(index, activations[0], mlp, experts=int(down.shape[0]))
    return Gate(index, activations[0], cast(nn.Module, down))


def _gated_mlp(index: int, layer: nn.Module) -> nn.Module:
    mlps = [m for m in layer.modules() if _is_gated(m)]
    if len(mlps) != 1:
        children = ", ".join(sorted({type(m).__name__ for m in layer.children()}))
        names = " and ".join(type(m).__name__ for m in mlps) or "none"
        raise UnsupportedGates(
            f"layer {index} ({type(layer).__name__} of {children}) should have one gated MLP (gate and up projection, "
            f"fused or not, and a down projection) but has: {names}"
        )
    return mlps[0]


def _is_gated(module: nn.Module) -> bool:
    def has(*names: str, form: type) -> bool:
        return all(isinstance(getattr(module, name, None), form) for name in names)

    if has("gate_up_proj", "down_proj", form=nn.Parameter):
        return getattr(module, "down_proj", torch.empty(0)).dim() == 3
    return has("gate_proj", "up_proj", "down_proj", form=nn.Module) or has("gate_up_proj", "down_proj", form=nn.Module)


def _register_expert_hooks(gate: Gate, hook: GateHook) -> list[RemovableHandle]:
    """Experts' activations do not know their tokens, so the routing of the call is read as well, in `eager` order."""
    pending: list[ExpertRows] = []

    def before_experts(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        top_TK = kwargs["top_k_index"] if "top_k_index" in kwargs else args[1]
        pending[:] = _rows_by_expert(top_TK, gate.experts)

    def after_activation(module: nn.Module, args: tuple[Any, ...], g_RI: Tensor) -> Tensor | None:
        if not pending or len(pending[0].tokens_R) != len(g_RI):
            raise RuntimeError("experts were not called one by one: load the model with the `eager` implementation")
        return hook(args[0], g_RI, pending.pop(0))

    return [
        gate.down_proj.register_forward_pre_hook(before_experts, with_kwargs=True),
        gate.activation.register_forward_hook(after_activation),
    ]


def _rows_by_expert(top_TK: Tensor, experts: int) -> Iterator[ExpertRows]:
    """Experts that any token is sent to, in order, each with its tokens in the order (choice, token)."""
    for expert in range(experts):
        tokens_R = torch.eq(top_TK.T, expert).nonzero()[:, 1]
        if len(tokens_R):
            yield ExpertRows(expert, tokens_R)

"""Gates are found by structure, and what cannot be counted or scaled is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esn_dist.gates.find import UnsupportedGates, find_gates


def test_every_layer_of_a_gated_decoder_gives_its_activation_and_down_projection(decoder: Any) -> None:
    gates = find_gates(decoder)
    assert [gate.layer for gate in gates] == [0, 1, 2]
    assert {gate.width for gate in gates} == {48}
    for gate, layer in zip(gates, decoder.layers, strict=True):
        assert gate.activation is layer.mlp.act_fn
        assert gate.down is layer.mlp.down_proj.weight


def test_a_gate_under_another_name_and_class_is_found(decoder: Any) -> None:
    for layer in decoder.layers:
        layer.feed_forward = Renamed(layer.mlp)
        del layer.mlp
    assert [gate.width for gate in find_gates(decoder)] == [48, 48, 48]


def test_a_decoder_without_layers_is_refused() -> None:
    with pytest.raises(UnsupportedGates, match="Linear has no list of decoder layers"):
        find_gates(nn.Linear(2, 2))


def test_an_ungated_layer_is_refused_by_number(decoder: Any) -> None:
    del decoder.layers[1].mlp.gate_proj
    with pytest.raises(UnsupportedGates, match="layer 1"):
        find_gates(decoder)


def test_layers_that_share_one_activation_are_refused(decoder: Any) -> None:
    for layer in decoder.layers:
        layer.mlp.act_fn = decoder.layers[0].mlp.act_fn
    with pytest.raises(UnsupportedGates, match="share one activation"):
        find_gates(decoder)


def test_layers_of_different_widths_are_refused(decoder: Any) -> None:
    decoder.layers[2].mlp.down_proj = nn.Linear(40, 16, bias=False)
    with pytest.raises(UnsupportedGates, match="different widths"):
        find_gates(decoder)


def test_an_activation_that_is_a_plain_function_is_refused(decoder: Any) -> None:
    del decoder.layers[0].mlp.act_fn
    decoder.layers[0].mlp.act_fn = torch.nn.functional.silu
    with pytest.raises(UnsupportedGates, match="activation"):
        find_gates(decoder)


class Renamed(nn.Module):
    """The parts of a gated MLP in a module of an unknown class."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj, self.act_fn = (
            mlp.gate_proj,
            mlp.up_proj,
            mlp.down_proj,
            mlp.act_fn,
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return output

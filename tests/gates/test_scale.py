"""Scaling: folded equals scaled at the gate, bit for bit where the scale is a power of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import can_fold, scaled

IDS = torch.randint(50, (3, 7), generator=torch.Generator().manual_seed(3))


def mask(seed: int = 0, share: float = 0.3) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(seed).random((3, 48)) < share


def hidden(decoder: Any) -> Tensor:
    with torch.no_grad():
        output: Tensor = decoder(input_ids=IDS).last_hidden_state
    return output


def naive(decoder: Any, member_LN: npt.NDArray[np.bool_], s: float) -> Tensor:
    """The hidden states when every MLP is written out: down(s ⊙ SiLU(gate(x)) ⊙ up(x))."""

    def forward(mlp: Any, scale_N: Tensor, x: Tensor) -> Tensor:
        output: Tensor = mlp.down_proj(scale_N * silu(mlp.gate_proj(x)) * mlp.up_proj(x))
        return output

    originals = [layer.mlp.forward for layer in decoder.layers]
    for layer, member_N in zip(decoder.layers, member_LN, strict=True):
        scale_N = torch.where(torch.as_tensor(member_N), s, 1.0)
        layer.mlp.forward = lambda x, m=layer.mlp, v=scale_N: forward(m, v, x)
    output = hidden(decoder)
    for layer, original in zip(decoder.layers, originals, strict=True):
        layer.mlp.forward = original
    return output


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("s", [0.0, 0.5, 2.0, -1.0, 4.0])
def test_folded_equals_gated_bit_for_bit(decoder: Any, dtype: torch.dtype, s: float) -> None:
    decoder.to(dtype)
    gates = find_gates(decoder)
    with scaled(gates, mask(), s, "fold"):
        folded = hidden(decoder)
    with scaled(gates, mask(), s, "gate"):
        gated = hidden(decoder)
    assert torch.equal(folded, gated)
    assert not torch.equal(folded, hidden(decoder)), "a scale that does nothing shows nothing"


@pytest.mark.parametrize("s", [1.3, 0.7, 1.05, -0.3])
def test_at_any_other_scale_they_agree_within_rounding(decoder: Any, s: float) -> None:
    gates = find_gates(decoder)
    with scaled(gates, mask(), s, "fold"):
        folded = hidden(decoder)
    with scaled(gates, mask(), s, "gate"):
        gated = hidden(decoder)
    torch.testing.assert_close(folded, gated, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("method", ["fold", "gate"])
@pytest.mark.parametrize("s", [0.0, 1.3])
def test_both_equal_the_equation_written_out(decoder: Any, method: str, s: float) -> None:
    expected = naive(decoder, mask(), s)
    with scaled(find_gates(decoder), mask(), s, method):  # type: ignore[arg-type]
        torch.testing.assert_close(hidden(decoder), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("method", ["fold", "gate"])
def test_one_gate_takes_exactly_one_rounding_in_bfloat16(decoder: Any, method: str) -> None:
    """A bfloat16 scale would turn 1.3 into 1.296875."""
    decoder.to(torch.bfloat16)
    gate = find_gates(decoder)[0]
    member_LN = np.zeros((3, 48), bool)
    member_LN[0, 5] = True
    before_D = gate.down[:, 5].clone()
    inputs: list[Tensor] = []
    read = gate.down_proj.register_forward_pre_hook(lambda module, args: inputs.append(args[0][..., 5].clone()))
    up: list[Tensor] = []
    handles = [
        decoder.layers[0].mlp.up_proj.register_forward_hook(lambda module, args, out: up.append(out[..., 5])),
        decoder.layers[0].mlp.gate_proj.register_forward_hook(lambda module, args, out: up.append(silu(out[..., 5]))),
    ]
    with scaled(find_gates(decoder), member_LN, 1.3, method):  # type: ignore[arg-type]
        hidden(decoder)
        folded_D = gate.down[:, 5].clone()
    for handle in [read, *handles]:
        handle.remove()
    g_BL, up_BL = up
    if method == "fold":
        assert torch.equal(folded_D, (before_D.float() * 1.3).bfloat16())
        assert not torch.equal(folded_D, before_D * torch.tensor(1.3, dtype=torch.bfloat16))
    else:
        assert torch.equal(inputs[0], (g_BL.float() * 1.3).bfloat16() * up_BL)


def test_masks_nest(decoder: Any) -> None:
    """A union of disjoint masks is one block inside another."""
    gates = find_gates(decoder)
    first, second = mask(0, 0.2), mask(1, 0.2) & ~mask(0, 0.2)
    with scaled(gates, first | second, 0.0, "fold"):
        together = hidden(decoder)
    with scaled(gates, first, 0.0, "fold"), scaled(gates, second, 0.0, "gate"):
        assert torch.equal(hidden(decoder), together)


def test_a_mask_of_another_model_is_refused(decoder: Any) -> None:
    with (
        pytest.raises(ValueError, match=r"\(3, 47\)"),
        scaled(find_gates(decoder), np.zeros((3, 47), bool), 0.0, "fold"),
    ):
        pass


def test_folding_into_placeholders_is_refused_where_it_would_silently_do_nothing(decoder: Any) -> None:
    decoder.layers[1].mlp.down_proj.to("meta")
    gates = find_gates(decoder)
    assert not can_fold(gates)
    with pytest.raises(ValueError, match="scale at the gate"), scaled(gates, mask(), 0.0, "fold"):
        pass

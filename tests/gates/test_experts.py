"""Experts and fused gates: neuron (x, i) has number x · I + i, is counted where routed, scaled in its column."""

from __future__ import annotations

from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from torch.nn.functional import linear, silu
from transformers import Phi3Config, Phi3Model, Qwen3MoeConfig, Qwen3MoeModel

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import UnsupportedGates, find_gates
from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.scale import can_fold, scaled

EXPERTS, WIDTH, IDS = 4, 6, torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def redraw(model: Any) -> Any:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 0.3)
    return model.eval()


def mixture(**more: Any) -> Any:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=24, moe_intermediate_size=WIDTH, num_experts=EXPERTS, num_experts_per_tok=2, **more,
    )  # fmt: skip
    model = redraw(Qwen3MoeModel(config))
    model.set_experts_implementation("eager")
    return model


@pytest.fixture
def experts() -> Any:
    return mixture()


def hidden(model: Any) -> torch.Tensor:
    with torch.no_grad():
        output: torch.Tensor = model(input_ids=IDS).last_hidden_state
    return output


def test_all_experts_of_a_layer_are_one_gate(experts: Any) -> None:
    gates = find_gates(experts)
    assert [(g.layer, g.width, g.experts) for g in gates] == [
        (0, EXPERTS * WIDTH, EXPERTS),
        (1, EXPERTS * WIDTH, EXPERTS),
    ]
    assert [(g.down.shape[0], g.down.shape[2]) for g in gates] == [(EXPERTS, WIDTH)] * 2


def test_counts_are_over_routed_positions(experts: Any) -> None:
    part_BS = torch.tensor([[0, 0, 1, -1, 1], [1, 1, 0, 0, -1]])
    routing: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in experts.layers:
        layer.mlp.experts.register_forward_pre_hook(lambda module, args: routing.append((args[0], args[1])))
    counter = ActivationCounter(find_gates(experts), 2, 2)
    with counter.hooks():
        counter.begin_forward(TokenPositions.padded(part_BS))
        hidden(experts)
    K, _ = counter.result()
    routed = counter.expert_positions()
    expected, positions = np.zeros_like(K), np.zeros_like(routed)
    for layer, (x_TD, top_TK) in enumerate(routing):
        for token, chosen in enumerate(top_TK.tolist()):
            row, part = token // 5, int(part_BS.flatten()[token])
            if part < 0:
                continue
            for e in chosen:
                u_I = linear(x_TD[token], experts.layers[layer].mlp.experts.gate_up_proj[e])[:WIDTH]
                expected[row, part, layer, e * WIDTH : (e + 1) * WIDTH] += (silu(u_I) > 0).numpy()
                positions[row, part, layer, e] += 1
    assert np.array_equal(K, expected)
    assert np.array_equal(routed, positions)


@pytest.mark.parametrize("s", [0.0, 2.0, 1.3])
def test_folded_equals_gated(experts: Any, s: float) -> None:
    gates = find_gates(experts)
    member_LN = np.random.default_rng(0).random((2, EXPERTS * WIDTH)) < 0.4
    with scaled(gates, member_LN, s, "fold"):
        folded = hidden(experts)
    with scaled(gates, member_LN, s, "gate"):
        gated = hidden(experts)
    if s == 1.3:
        torch.testing.assert_close(folded, gated, atol=2e-6, rtol=2e-6)
    else:
        assert torch.equal(folded, gated)
    assert not torch.equal(folded, hidden(experts))


def test_only_the_named_neuron_of_the_named_expert_is_scaled(experts: Any) -> None:
    member_LN = np.zeros((2, EXPERTS * WIDTH), bool)
    member_LN[1, 2 * WIDTH + 5] = True
    before = experts.layers[1].mlp.experts.down_proj.detach().clone()
    with scaled(find_gates(experts), member_LN, 0.0, "fold"):
        changed = (experts.layers[1].mlp.experts.down_proj != before).nonzero()
    assert {(e, i) for e, _, i in changed.tolist()} == {(2, 5)}
    assert torch.equal(experts.layers[1].mlp.experts.down_proj, before)


def test_experts_that_are_called_all_at_once_are_refused(experts: Any) -> None:
    """Their rows are sorted by expert, and nothing says where one ends: counts would go to the wrong neurons."""
    experts.set_experts_implementation("batched_mm")
    counter = ActivationCounter(find_gates(experts), 2, 1)
    counter.begin_forward(TokenPositions.padded(torch.zeros(2, 5)))
    with counter.hooks(), pytest.raises(RuntimeError, match="`eager`"):
        hidden(experts)


def test_a_dense_layer_among_experts_is_refused_with_both_widths() -> None:
    with pytest.raises(UnsupportedGates, match="24 neurons, 24 neurons in 4 experts"):
        find_gates(mixture(mlp_only_layers=[0]))


def fused() -> Any:
    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, pad_token_id=0,
    )  # fmt: skip
    return redraw(Phi3Model(config))


def test_the_first_half_of_a_fused_projection_is_the_gate() -> None:
    model = fused()
    u: list[torch.Tensor] = []
    handles = [
        layer.mlp.gate_up_proj.register_forward_hook(lambda module, args, out: u.append(out[..., :24]))
        for layer in model.layers
    ]
    K = counted(model)
    for handle in handles:
        handle.remove()
    assert np.array_equal(K[:, 0], np.stack([(silu(u_BSN) > 0).sum(1).numpy() for u_BSN in u], axis=1))


@pytest.mark.parametrize("build", [fused, mixture])
def test_offloaded_weights_give_the_same_hidden_states_and_counts(build: Any) -> None:
    """`offload: cpu` by accelerate's own hooks: weights are placeholders outside their layer's call, on any device."""
    model, away = build(), build()
    accelerate.cpu_offload(away, execution_device=torch.device("cpu"))
    gates = find_gates(away)
    assert all(g.down.is_meta for g in gates) and not can_fold(gates)
    assert torch.equal(hidden(away), hidden(model)) and np.array_equal(counted(away), counted(model))
    member_LN = np.random.default_rng(0).random((2, gates[0].width)) < 0.4
    for s in (0.0, 1.3):
        with scaled(gates, member_LN, s, "gate"), scaled(find_gates(model), member_LN, s, "gate"):
            assert torch.equal(hidden(away), hidden(model))
    with scaled(gates, member_LN, 0.0, "gate"), scaled(find_gates(model), member_LN, 0.0, "fold"):
        assert torch.equal(hidden(away), hidden(model))
    with pytest.raises(ValueError, match="offloaded placeholders: scale at the gate"):
        scaled(gates, member_LN, 0.0, "fold").__enter__()


def counted(model: Any) -> Any:
    counter = ActivationCounter(find_gates(model), 2, 1)
    with counter.hooks():
        counter.begin_forward(TokenPositions.padded(torch.zeros(2, 5)))
        hidden(model)
    return counter.result()[0]

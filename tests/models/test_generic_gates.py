"""Any gated audio LM, on tiny real models: counts and deactivation equal a naive hook's."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.scale import scaled
from esn_dist.inference import selfcheck
from esn_dist.inference.engine import PaddedEngine
from esn_dist.terms import Part
from esn_dist.worker.prompt_batches import PromptBatches
from tests.models.random_case import ITEMS, Case


def test_counts_equal_a_naive_hooks(case: Case) -> None:
    counter = ActivationCounter(case.gates, len(ITEMS), len(Part))
    with counter.hooks():
        case.ask(counter)
    K, T = counter.result()
    for index, inputs in enumerate(case.official):
        part_L = case.prompts[index].part_L
        for layer, positive_LN in enumerate(naive_positive(case, inputs)):
            for part in (Part.AUDIO, Part.TEXT):
                # A pre-activation within rounding of zero may fall on either side in another batch shape.
                difference = np.abs(K[index, part, layer].astype(int) - positive_LN[part_L == part].sum(0))
                assert difference.max() <= 1 and difference.sum() <= 2
        assert T[index, :2].tolist() == [(part_L == part).sum() for part in (0, 1)]
    if case.gates[0].experts:
        routed = counter.expert_positions()
        assert (routed.sum(-1) == 2 * T[:, :, None]).all(), "two experts for every position"
        width = K.shape[-1] // case.gates[0].experts
        assert (K.reshape(*K.shape[:-1], -1, width).max(-1) <= routed).all()


def test_deep_notices_a_deactivation_that_misses(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "scaled", lambda *args: nullcontext())
    assert not selfcheck.check(case.lm, (0.25, 0.6))["deactivation_equals_hook"]


def test_questions_keep_what_was_sent_to_each_expert(case: Case) -> None:
    rows = PromptBatches(
        PaddedEngine(case.lm), case.rows, [("joy", "anger")] * 2, ("anger", "joy"), ("anger", "joy"), 4_096
    ).answer(3, counted=case.gates)
    if not case.gates[0].experts:
        assert rows.T_expert is None
        return
    assert rows.T is not None and rows.T_expert is not None
    assert (rows.T_expert.sum(-1) == 2 * rows.T[:, :, None]).all(), "two experts for every position"
    kept = rows.part(1, 2).T_expert
    assert kept is not None and np.array_equal(kept, rows.T_expert[1:])


def test_deactivation_equals_zeroed_weights_under_the_models_own_generate(case: Case) -> None:
    member_LN = np.random.default_rng(0).random((len(case.gates), case.gates[0].width)) < 0.4
    cut = copy.deepcopy(case.lm.model)
    for layer, member_N in zip(cut.get_decoder().layers, member_LN, strict=True):
        down = layer.mlp.experts.down_proj.data if hasattr(layer.mlp, "experts") else layer.mlp.down_proj.weight.data
        for neuron in np.flatnonzero(member_N):
            if down.dim() == 3:
                down[neuron // down.shape[2], :, neuron % down.shape[2]] = 0
            else:
                down[:, neuron] = 0
    expected = case.generated(cut)
    for how in ("fold", "gate"):
        with scaled(case.gates, member_LN, 0.0, how):
            assert case.ask().tokens == expected
    assert case.ask().tokens != expected, "a deactivation that changes no answer shows nothing"


def naive_positive(case: Case, inputs: dict[str, Tensor]) -> list[npt.NDArray[np.bool_]]:
    """[L, N] of each layer: whether SiLU of the gate projection is positive, by a plain hook on the projection."""
    lm, gates = case.lm, case.gates
    positive: list[npt.NDArray[np.bool_]] = []

    def dense(module: Any, args: Any, u_BLN: Tensor) -> None:
        u_LN = u_BLN[0, :, : gates[0].width]  # of a fused projection the first half
        positive.append((silu(u_LN) > 0).numpy())

    def experts(module: Any, args: Any, output: Any) -> None:
        x_LD, top_LK = args[0], args[1]
        width = module.down_proj.shape[2]
        positive_LN = np.zeros((len(x_LD), gates[0].width), bool)
        for position, chosen in enumerate(top_LK.tolist()):
            for e in chosen:
                u_I = linear(x_LD[position], module.gate_up_proj[e])[:width]
                positive_LN[position, e * width : (e + 1) * width] = (silu(u_I) > 0).numpy()
        positive.append(positive_LN)

    handles = []
    for layer in lm.model.get_decoder().layers:
        if hasattr(layer.mlp, "experts"):
            handles.append(layer.mlp.experts.register_forward_hook(experts))
        else:
            projection = layer.mlp.gate_up_proj if hasattr(layer.mlp, "gate_up_proj") else layer.mlp.gate_proj
            handles.append(projection.register_forward_hook(dense))
    with torch.no_grad():
        lm.model(**inputs)
    for handle in handles:
        handle.remove()
    return positive

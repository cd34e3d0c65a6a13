"""Holds a loaded model against slow references on its own weights: what a user runs once, before trusting a sweep.

Random speech-like clips of mixed lengths. Batched answers against single ones; those against greedy decoding that keeps
no cache and knows no padding; the packed engine, where the decoder has its form, against the plain one; counts and
deactivation against hooks that loop over positions. Knows no emotions.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import Gate, find_gates
from esn_dist.gates.scale import can_fold, scaled
from esn_dist.inference.answer import answer
from esn_dist.inference.batches import PaddedBatch, pad, shared_prefix
from esn_dist.inference.engine import BatchRequest, Engine
from esn_dist.inference.packed.engine import PackedEngine, engine_of
from esn_dist.inference.packed.steps import compiler_here
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.models.loading import load, spec_of
from esn_dist.terms import Part

SECONDS = (0.4, 1.0, 3.3, 8.1)
QUESTION = "Which one is it? Answer with the option index only.\n1: yes\n2: no\n3: neither"
NEW = 4
SHARE = 0.2  # of the gates, deactivated


def self_check(model: str) -> dict[str, bool]:
    """Load `model`, a registered name or a folder, on a GPU where there is one; True for each claim that held."""
    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    spec = spec_of(model).model_copy(update={"dtype": "float32"} if device == "cpu" else {})
    return {"loads": True, **check(load(spec, device))}


def check(lm: AudioLM) -> dict[str, bool]:
    """Which claims hold of a loaded model.

    In bfloat16 near-ties may flip between batch shapes: there an answer may differ where its two best options lie
    within the tolerance, which this does not judge; False then means "look closer".
    """
    rows = [lm.encode_clip(clip(seconds)) for seconds in SECONDS]
    prompts = [lm.prompt(len(r), QUESTION) for r in rows]
    batch = pad(lm, prompts, rows)
    singles = [pad(lm, [p], [r]) for p, r in zip(prompts, rows, strict=True)]
    gates = find_gates(lm.decoder)
    engine = engine_of(lm, kernels=lm.device.type == "cuda" and compiler_here())
    together = _tokens(lm, batch)
    alone = [_tokens(lm, one)[0] for one in singles]
    member_LN = np.random.default_rng(0).random((len(gates), gates[0].width)) < SHARE
    found = {
        "batched_equals_single": together == alone,
        "equals_uncached_greedy": alone == [_slowly(lm, one, []) for one in singles],
        "counts_equal_hook": _counts_agree(lm, batch, singles, gates),
    }
    if isinstance(engine, PackedEngine):
        found["packed_equals_plain"] = _by_engine(engine, prompts, rows) == together
    with scaled(gates, member_LN, 0.0, "fold" if can_fold(gates) else "gate"):
        deactivated = _by_engine(engine, prompts, rows)
    found["deactivation_equals_hook"] = deactivated == [_slowly(lm, one, _zeroing(gates, member_LN)) for one in singles]
    return found


def clip(seconds: float) -> npt.NDArray[np.float32]:
    """A buzz with vibrato and noise."""
    t = np.arange(round(seconds * 16_000)) / 16_000
    rng = np.random.default_rng(len(t))
    buzz = 0.3 * np.sin(2 * np.pi * rng.uniform(90, 300) * t + 3 * np.sin(2 * np.pi * 4 * t))
    return np.asarray(buzz + 0.05 * rng.standard_normal(len(t)), np.float32)


def _tokens(lm: AudioLM, batch: PaddedBatch) -> list[list[int]]:
    return answer(lm, batch, torch.zeros(len(batch.length_B), 1, dtype=torch.long), NEW).tokens


def _by_engine(engine: Engine[Any], prompts: list[Prompt], rows: list[Tensor]) -> list[list[int]]:
    """As a sweep asks: the prompts' shared beginning is computed once."""
    asked = BatchRequest(engine.batch(prompts, rows), torch.zeros(len(rows), 1, dtype=torch.long))
    (said,) = engine.answer_batches([asked], NEW, shared_prefix(prompts))
    return said.tokens


@torch.inference_mode()
def _slowly(lm: AudioLM, one: PaddedBatch, hooks: list[tuple[nn.Module, Any]]) -> list[int]:
    """Greedy tokens of a single prompt, run again in full for every token, with plain hooks in place."""
    handles = [module.register_forward_hook(hook, with_kwargs=True) for module, hook in hooks]
    embedded_1LD, said = one.embedded_BLD, list[int]()
    while len(said) < NEW:
        hidden_1LD: Tensor = lm.decoder(inputs_embeds=embedded_1LD, use_cache=False).last_hidden_state
        token_1 = lm.head(hidden_1LD[:, -1]).argmax(-1).to(embedded_1LD.device)
        if int(token_1) in lm.stop_ids:
            break
        said.append(int(token_1))
        embedded_1LD = torch.cat([embedded_1LD, lm.embed_tokens(token_1)[:, None]], dim=1)
    for handle in handles:
        handle.remove()
    return said


def _zeroing(gates: tuple[Gate, ...], member_LN: npt.NDArray[np.bool_]) -> list[tuple[nn.Module, Any]]:
    """Hooks that compute every down projection again from its inputs without the masked ones."""

    def dense(keep_N: Tensor, module: Any, args: Any, kwargs: Any, output: Tensor) -> Tensor:
        return functional.linear(args[0] * keep_N.to(args[0]), module.weight, module.bias)

    return [
        (gate.down_proj, partial(_experts_again if gate.experts else dense, torch.tensor(~member_N)))
        for gate, member_N in zip(gates, member_LN, strict=True)
    ]


def _experts_again(keep_N: Tensor, module: Any, args: Any, kwargs: Any, output: Tensor) -> Tensor:
    """What a layer of experts gives, token by token and choice by choice, without the masked gates."""
    inputs: list[Tensor] = [*args, *kwargs.values()]
    x_TD, top_TK, weight_TK = inputs
    keep_EI = keep_N.view(len(module.down_proj), -1).to(x_TD)
    again_TD = torch.zeros_like(x_TD)
    for token, chosen in enumerate(top_TK.tolist()):
        for choice, expert in enumerate(chosen):
            u_I, up_I = functional.linear(x_TD[token], module.gate_up_proj[expert]).chunk(2)
            g_I = module.act_fn(u_I) * keep_EI[expert]
            again_TD[token] += weight_TK[token, choice] * functional.linear(g_I * up_I, module.down_proj[expert])
    return again_TD


def _counts_agree(lm: AudioLM, batch: PaddedBatch, singles: list[PaddedBatch], gates: tuple[Gate, ...]) -> bool:
    """Counts of the batch against a loop over the positions of each prompt alone, within roundings at zero."""
    counter = ActivationCounter(gates, len(singles), len(Part))
    with counter.hooks():
        answer(lm, batch, torch.zeros(len(singles), 1, dtype=torch.long), 1, counter)
    K, _ = counter.result()
    return all(_agrees(lm, K[index], one, gates) for index, one in enumerate(singles))


@torch.inference_mode()
def _agrees(lm: AudioLM, K_PLN: npt.NDArray[np.uint16], one: PaddedBatch, gates: tuple[Gate, ...]) -> bool:
    expected_PLN = np.zeros(K_PLN.shape, np.int64)
    part_L = one.part_BL[0].cpu().numpy()

    def loop(layer: int, u: Tensor, routed: Any) -> None:
        positive = (u > 0).cpu().numpy()
        positions = range(len(part_L)) if routed is None else routed.tokens_R.tolist()
        width = positive.shape[-1]
        start = 0 if routed is None else routed.expert * width
        for row, position in zip(positive.reshape(-1, width), positions, strict=True):
            if part_L[position] >= 0:
                expected_PLN[part_L[position], layer, start : start + width] += row

    handles = [h for i, g in enumerate(gates) for h in g.register_hook(lambda u, g_, routed, i=i: loop(i, u, routed))]  # type: ignore
    lm.decoder(inputs_embeds=one.embedded_BLD, use_cache=False)
    for handle in handles:
        handle.remove()
    difference = np.abs(K_PLN - expected_PLN)
    tolerated = 1e-4 if lm.dtype == torch.float32 else 2e-2
    return bool(difference.sum() <= tolerated * max(1, expected_PLN.sum()))

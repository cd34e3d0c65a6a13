"""Compares a loaded model with slow references on its own weights; to be run once, before a sweep is trusted.

Clips are random, speech-like and of several lengths. Batched answers are compared with single ones, and those with
greedy decoding without cache and padding. The packed engine is compared with the padded one, where it supports the
decoder. Counts and deactivation are compared with hooks that loop over positions. Knows no emotions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import ExpertRows, Gate, GateHook, find_gates
from esn_dist.gates.scale import can_fold, scaled
from esn_dist.inference.answer import answer
from esn_dist.inference.batches import PaddedBatch, pad, shared_prefix
from esn_dist.inference.engine import BatchRequest, Engine
from esn_dist.inference.packed.elementwise_ops import has_c_compiler
from esn_dist.inference.packed.engine import PackedEngine, make_engine
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.models.loading import load, spec_of
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.terms import Part

SECONDS = (0.4, 1.0, 3.3, 8.1)
QUESTION = "Which one is it? Answer with the option index only.\n1: yes\n2: no\n3: neither"
NEW_TOKENS = 4
SHARE = 0.2  # of the gates is deactivated


def self_check(model: str) -> dict[str, bool]:
    """Load `model`, a registered name, folder or hub id, on a GPU if there is one; True for each claim that holds.

    A registered model must also have the gates that its entry promises, by which plans are made.
    """
    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    spec = spec_of(model).model_copy(update={"dtype": "float32"} if device == "cpu" else {})
    lm = load(spec, device)
    return {"loads": True, **_as_registered(model, lm), **check(lm)}


def _as_registered(model: str, lm: AudioLM) -> dict[str, bool]:
    if model not in MODELS:
        return {}
    entry, gates = MODELS[model], find_gates(lm.decoder)
    shape = (len(gates), gates[0].width, gates[0].experts)
    return {"gates_equal_entry": shape == (entry.layers, entry.width, entry.experts)}


def check(lm: AudioLM, seconds: Sequence[float] = SECONDS) -> dict[str, bool]:
    """Which claims hold for a loaded model, on clips of these lengths.

    In bfloat16 near-ties may flip between batch shapes: an answer may differ if its two best options are within the
    tolerance. This is not tested here, so False then means "look closer".
    """
    audio_embeds = [lm.encode_clip(clip(length)) for length in seconds]
    prompts = [lm.prompt(len(embeds_RD), QUESTION) for embeds_RD in audio_embeds]
    batch = pad(lm, prompts, audio_embeds)
    singles = [pad(lm, [prompt], [embeds]) for prompt, embeds in zip(prompts, audio_embeds, strict=True)]
    gates = find_gates(lm.decoder)
    engine = make_engine(lm, kernels=lm.device.type == "cuda" and has_c_compiler())
    batched_tokens = _padded_tokens(lm, batch)
    single_tokens = [_padded_tokens(lm, single)[0] for single in singles]
    member_YN = np.random.default_rng(0).random((len(gates), gates[0].width)) < SHARE
    claims = {
        "batched_equals_single": batched_tokens == single_tokens,
        "equals_uncached_greedy": single_tokens == [_uncached_greedy(lm, single, []) for single in singles],
        "counts_equal_hook": _counts_agree(lm, batch, singles, gates),
    }
    if isinstance(engine, PackedEngine):
        claims["packed_equals_padded"] = _engine_tokens(engine, prompts, audio_embeds) == batched_tokens
        claims["packed_equals_plain"] = claims["packed_equals_padded"]  # the name of earlier releases
    with scaled(gates, member_YN, 0.0, "fold" if can_fold(gates) else "gate"):
        deactivated = _engine_tokens(engine, prompts, audio_embeds)
    hooks = _zeroing_hooks(gates, member_YN)
    claims["deactivation_equals_hook"] = deactivated == [_uncached_greedy(lm, single, hooks) for single in singles]
    return claims


def clip(seconds: float) -> npt.NDArray[np.float32]:
    """A buzz with vibrato and noise."""
    t = np.arange(round(seconds * 16_000)) / 16_000
    rng = np.random.default_rng(len(t))
    buzz = 0.3 * np.sin(2 * np.pi * rng.uniform(90, 300) * t + 3 * np.sin(2 * np.pi * 4 * t))
    return np.asarray(buzz + 0.05 * rng.standard_normal(len(t)), np.float32)


def _padded_tokens(lm: AudioLM, batch: PaddedBatch) -> list[list[int]]:
    return answer(lm, batch, torch.zeros(len(batch.length_B), 1, dtype=torch.long), NEW_TOKENS).tokens


def _engine_tokens(engine: Engine[Any], prompts: list[Prompt], audio_embeds: list[Tensor]) -> list[list[int]]:
    """Tokens as in a sweep: the shared prefix of the prompts is computed once."""
    request = BatchRequest(engine.batch(prompts, audio_embeds), torch.zeros(len(prompts), 1, dtype=torch.long))
    (answers,) = engine.answer_batches([request], NEW_TOKENS, shared_prefix(prompts))
    return answers.tokens


@torch.inference_mode()
def _uncached_greedy(lm: AudioLM, single: PaddedBatch, hooks: list[tuple[nn.Module, Any]]) -> list[int]:
    """Greedy tokens of a single prompt: the whole forward call again for every token, with plain hooks in place."""
    handles = [module.register_forward_hook(hook, with_kwargs=True) for module, hook in hooks]
    embedded_1LD, tokens = single.embedded_BLD, list[int]()
    while len(tokens) < NEW_TOKENS:
        hidden_1LD: Tensor = lm.decoder(inputs_embeds=embedded_1LD, use_cache=False).last_hidden_state
        token_1 = lm.head(hidden_1LD[:, -1]).argmax(-1).to(embedded_1LD.device)
        if int(token_1) in lm.stop_ids:
            break
        tokens.append(int(token_1))
        embedded_1LD = torch.cat([embedded_1LD, lm.embed_tokens(token_1)[:, None]], dim=1)
    for handle in handles:
        handle.remove()
    return tokens


def _zeroing_hooks(gates: tuple[Gate, ...], member_YN: npt.NDArray[np.bool_]) -> list[tuple[nn.Module, Any]]:
    """Hooks that compute every down projection again, without the masked inputs."""

    def dense(keep_N: Tensor, module: Any, args: Any, kwargs: Any, output: Tensor) -> Tensor:
        return functional.linear(args[0] * keep_N.to(args[0]), module.weight, module.bias)

    return [
        (gate.down_proj, partial(_recompute_experts if gate.experts else dense, torch.tensor(~member_N)))
        for gate, member_N in zip(gates, member_YN, strict=True)
    ]


def _recompute_experts(keep_N: Tensor, module: Any, args: Any, kwargs: Any, output: Tensor) -> Tensor:
    """Output of a layer of experts without the masked gates, token by token and expert by expert."""
    inputs: list[Tensor] = [*args, *kwargs.values()]
    x_TD, top_TC, weight_TC = inputs
    keep_EI = keep_N.view(len(module.down_proj), -1).to(x_TD)
    output_TD = torch.zeros_like(x_TD)
    for token, chosen in enumerate(top_TC.tolist()):
        for choice, expert in enumerate(chosen):
            u_I, up_I = functional.linear(x_TD[token], module.gate_up_proj[expert]).chunk(2)
            g_I = module.act_fn(u_I) * keep_EI[expert]
            output_TD[token] += weight_TC[token, choice] * functional.linear(g_I * up_I, module.down_proj[expert])
    return output_TD


def _counts_agree(lm: AudioLM, batch: PaddedBatch, singles: list[PaddedBatch], gates: tuple[Gate, ...]) -> bool:
    """Whether the batch's counts equal those of a loop over each prompt's positions, within roundings at zero."""
    counter = ActivationCounter(gates, len(singles), len(Part))
    with counter.hooks():
        answer(lm, batch, torch.zeros(len(singles), 1, dtype=torch.long), 1, counter)
    K, _ = counter.result()
    return all(_agrees(lm, K[index], single, gates) for index, single in enumerate(singles))


@torch.inference_mode()
def _agrees(lm: AudioLM, K_PYN: npt.NDArray[np.uint16], single: PaddedBatch, gates: tuple[Gate, ...]) -> bool:
    expected_PYN = np.zeros(K_PYN.shape, np.int64)
    part_L = single.part_BL[0].cpu().numpy()

    def count_by_position(layer: int, u: Tensor, routed: ExpertRows | None) -> None:
        positive = (u > 0).cpu().numpy()
        positions = range(len(part_L)) if routed is None else routed.tokens_R.tolist()
        width = positive.shape[-1]
        start = 0 if routed is None else routed.expert * width
        for row, position in zip(positive.reshape(-1, width), positions, strict=True):
            if part_L[position] >= 0:
                expected_PYN[part_L[position], layer, start : start + width] += row

    def hook_of(layer: int) -> GateHook:
        return lambda u, g, routed: count_by_position(layer, u, routed)

    handles = [handle for layer, gate in enumerate(gates) for handle in gate.register_hook(hook_of(layer))]
    lm.decoder(inputs_embeds=single.embedded_BLD, use_cache=False)
    for handle in handles:
        handle.remove()
    difference = np.abs(K_PYN - expected_PYN)
    tolerated = 1e-4 if lm.dtype == torch.float32 else 2e-2
    return bool(difference.sum() <= tolerated * max(1, expected_PYN.sum()))

"""Counts and deactivation of a batch with cached audio, against plain hooks on transformers' own call of one item."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import scaled
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import pad
from esn_dist.models.audio_lm import AudioLM
from esn_dist.terms import Part
from tests.models.synthetic_inputs import wave

Item = tuple[int, str]
"""Samples of a clip, and the question."""
Official = Callable[[int, str], dict[str, Tensor]]
NEW = 5


def ask(lm: AudioLM, items: list[Item], counter: ActivationCounter | None = None) -> BatchAnswers:
    rows = [lm.encode_clip(wave(samples)) for samples, _ in items]
    batch = pad(lm, [lm.prompt(len(r), text) for r, (_, text) in zip(rows, items, strict=True)], rows)
    return answer(lm, batch, torch.arange(40).expand(len(items), -1), NEW, counter)


def assert_counts_equal_hook(
    lm: AudioLM, model: Any, official: Official, items: list[Item], placeholder: int, special: Collection[int]
) -> None:
    """K and T of audio and text: the sign of SiLU after every gate projection, position by position."""
    counter = ActivationCounter(find_gates(lm.decoder), len(items), len(Part))
    with counter.hooks():
        ask(lm, items, counter)
    K, T = counter.result()
    layers: Any = lm.decoder.layers
    for index, item in enumerate(items):
        inputs, u = official(*item), list[Tensor]()
        handles = [
            layer.mlp.gate_proj.register_forward_hook(lambda module, args, out, u=u: u.append(out[0]))
            for layer in layers
        ]
        with torch.no_grad():
            model(**inputs)
        for handle in handles:
            handle.remove()
        ids_L = inputs["input_ids"][0].numpy()
        of_part = {Part.AUDIO: ids_L == placeholder, Part.TEXT: ~np.isin(ids_L, [*special, placeholder])}
        for part, here_L in of_part.items():
            assert T[index, part] == here_L.sum() > 0
            expected_LN = np.stack([(silu(u_call) > 0).numpy()[here_L].sum(0) for u_call in u])
            # A pre-activation within rounding of zero may fall on either side in another batch shape.
            difference = np.abs(K[index, part].astype(int) - expected_LN)
            assert difference.max() <= 1 and difference.sum() <= 3


def assert_deactivation_equals_hook(lm: AudioLM, model: Any, official: Official, items: list[Item]) -> None:
    """Folded and at the gate: the answers of `generate` under a hook that empties the masked inputs of `down_proj`."""
    gates, layers = find_gates(lm.decoder), lm.decoder.layers
    member_LN = np.random.default_rng(0).random((len(gates), gates[0].width)) < 0.4
    handles = [
        layer.mlp.down_proj.register_forward_pre_hook(lambda module, args, m=m: args[0].masked_fill(torch.tensor(m), 0))
        for layer, m in zip(layers, member_LN, strict=True)  # type: ignore[arg-type]
    ]
    expected = []
    for item in items:
        inputs = official(*item)
        output = model.generate(
            **inputs, max_new_tokens=NEW, do_sample=False, repetition_penalty=1.0, eos_token_id=list(lm.stop_ids),
            pad_token_id=lm.stop_ids[-1],
        )  # fmt: skip
        tokens = output[0, len(inputs["input_ids"][0]) :].tolist()
        expected.append(list(takewhile(lambda token: token not in lm.stop_ids, tokens)))
    for handle in handles:
        handle.remove()
    for how in ("fold", "gate"):
        with scaled(gates, member_LN, 0.0, how):
            assert ask(lm, items).tokens == expected
    assert ask(lm, items).tokens != expected, "a deactivation that changes no answer shows nothing"

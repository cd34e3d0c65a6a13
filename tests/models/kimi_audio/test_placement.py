"""Kimi-Audio spread over devices: a map over two GPUs, and weights on disk that give the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import can_fold, scaled
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import pad
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.placement import Placement


def ask(lm: KimiAudio, tools: Any) -> BatchAnswers:
    rows = [lm.encode_clip(tools.wave(samples)) for samples in (4_000, 37_920)]
    batch = pad(lm, [lm.prompt(len(r), "Which?") for r in rows], rows)
    return answer(lm, batch, torch.arange(50).expand(2, -1), 4)


def test_layers_are_spread_over_two_gpus(kimi: KimiAudio) -> None:
    size = sum(4 * p.numel() for p in kimi.network.parameters())
    placed = Placement("cuda", 2, memory=size).device_map(kimi.network, torch.float32)
    assert set(placed.values()) == {0, 1}


def test_weights_on_disk_give_the_same_bits_and_deactivations(kimi: KimiAudio, checkpoint: Path, tools: Any) -> None:
    offloaded = KimiAudio.load(checkpoint, torch.float32, Placement(offload="disk", memory=600_000), KimiAudio.settings)
    gates = find_gates(offloaded.decoder)
    assert not can_fold(gates)
    answers, expected = ask(offloaded, tools), ask(kimi, tools)
    assert answers.tokens == expected.tokens
    assert np.array_equal(answers.logprob_BO, expected.logprob_BO)
    member_LN = np.random.default_rng(0).random((3, 64)) < 0.4
    with scaled(gates, member_LN, 0.0, "gate"), scaled(find_gates(kimi.decoder), member_LN, 0.0, "fold"):
        assert ask(offloaded, tools).tokens == ask(kimi, tools).tokens != expected.tokens

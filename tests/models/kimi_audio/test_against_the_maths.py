"""Each stage equals a slow restatement of its equations (`maths.py`); what is chunked is cut at every boundary."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import scaled
from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.kimi_audio.audio import windows
from esn_dist.terms import Part
from esn_dist.testing.models import AudioLMConformance
from tests.models.encoder_batches import assert_nothing_waits_for_the_device, assert_other_clips_change_no_bit
from tests.models.kimi_audio.maths import (
    OFFSET,
    Array,
    adapted,
    continuous,
    discrete_codes,
    embedded,
    greedy,
    layer_norm,
    text_logits,
)

# 0.05 s; 4.5 s, more than one block of look-ahead; 31 s, two segments.
LENGTHS = (800, 72_000, 496_000)


@pytest.fixture(scope="module")
def weights(checkpoint: Path) -> dict[str, dict[str, Array]]:
    """All stored tensors in float64, read without the code under test."""

    def read(folder: Path) -> dict[str, Array]:
        files = sorted(folder.glob("*.safetensors"))
        return {name: value.astype(np.float64) for file in files for name, value in load_file(file).items()}

    glm, whisper = checkpoint / "glm-4-voice-tokenizer", checkpoint / "whisper-large-v3"
    return {"main": read(checkpoint), "glm": read(glm), "whisper": read(whisper)}


@pytest.mark.parametrize("samples", LENGTHS)
def test_codes(kimi: KimiAudio, weights: Any, tools: Any, samples: int) -> None:
    wave = tools.wave(samples)
    expected = discrete_codes(wave.astype(np.float64), weights["glm"])
    assert kimi.codes(kimi.preprocess(wave)).tolist() == expected
    assert samples < 2_000 or len(set(expected)) > 2, "one code everywhere shows nothing"


@pytest.mark.parametrize("samples", [800, 496_000])
def test_continuous_features_and_audio_embeddings(kimi: KimiAudio, weights: Any, tools: Any, samples: int) -> None:
    wave = tools.wave(samples)
    features = continuous(wave.astype(np.float64), weights["whisper"])
    np.testing.assert_allclose(kimi.features([kimi.preprocess(wave)])[0], features, atol=2e-4)
    token = weights["main"]["model.embed_tokens.weight"][np.array(discrete_codes(wave, weights["glm"])) + OFFSET]
    np.testing.assert_allclose(
        kimi.encode_clip(wave), (token + adapted(features, weights["main"])) * np.sqrt(2), atol=5e-4
    )


def test_embeddings_are_the_same_bits_in_any_encoder_batch_and_those_of_the_clip_alone(kimi: KimiAudio) -> None:
    assert_other_clips_change_no_bit(kimi, (800, 72_000, 496_000, 16_000), 3, 2e-5)


def test_no_layer_and_no_encoder_batch_waits_for_the_device(kimi: KimiAudio) -> None:
    there = deepcopy(kimi.network).to("meta")
    lm = KimiAudio(there, kimi.config, kimi.tokenizer, kimi.extractors)
    assert_nothing_waits_for_the_device(lm, (800, 72_000, 496_000), 2)


def test_the_adaptors_norm_takes_the_models_own_epsilon(kimi: KimiAudio, weights: Any) -> None:
    """1e-6, where torch's own is 1e-5: seen on rows of little variance only."""
    quiet = np.random.default_rng(0).normal(0, 1e-3, (5, 32))
    expected = layer_norm(quiet, weights["main"], "model.vq_adaptor.layers.4", 1e-6)
    with torch.no_grad():
        ours = kimi.network.adaptor[4](torch.tensor(quiet, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-4)


ITEMS = [(16_000, "Which?"), (800, "Listen, and choose: 1 or 2"), (72_000, "Why?")]


def prepared(kimi: KimiAudio, tools: Any) -> tuple[list[Any], Any]:
    """Audio rows of each item, and all of them as one batch."""
    rows = [kimi.encode_clip(tools.wave(samples)) for samples, _ in ITEMS]
    return rows, pad(kimi, [kimi.prompt(len(r), text) for r, (_, text) in zip(rows, ITEMS, strict=True)], rows)


def restated(rows: list[Any], weights: Any, tools: Any) -> list[tuple[Array, slice, slice]]:
    return [
        embedded(r.numpy(), discrete_codes(tools.wave(samples), weights["glm"]), text, weights["main"])
        for r, (samples, text) in zip(rows, ITEMS, strict=True)
    ]


def test_answers_and_logits(kimi: KimiAudio, weights: Any, tools: Any) -> None:
    w = weights["main"]
    rows, batch = prepared(kimi, tools)
    ours = answer(kimi, batch, torch.arange(len(w["lm_head.weight"])).expand(3, -1), 6)
    for index, (x_LD, _, _) in enumerate(restated(rows, weights, tools)):
        logits, _ = text_logits(x_LD, w)
        expected = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        np.testing.assert_allclose(ours.logprob_BO[index], expected, atol=2e-4)
        assert ours.tokens[index] == greedy(x_LD, w, 6)
    assert len({tuple(t) for t in ours.tokens}) > 1


def test_counts(kimi: KimiAudio, weights: Any, tools: Any) -> None:
    rows, batch = prepared(kimi, tools)
    counter = ActivationCounter(find_gates(kimi.decoder), 3, len(Part))
    with counter.hooks():
        answer(kimi, batch, torch.zeros(3, 1, dtype=torch.long), 1, counter)
    K, T = counter.result()
    for index, (x_LD, audio, words) in enumerate(restated(rows, weights, tools)):
        _, gates = text_logits(x_LD, weights["main"])
        for part, here in ((Part.AUDIO, audio), (Part.TEXT, words)):
            assert T[index, part] == here.stop - here.start
            expected_LN = np.stack([(g_LN[here] > 0).sum(0) for g_LN in gates])
            # A pre-activation within rounding of zero may fall on either side.
            assert np.abs(K[index, part].astype(int) - expected_LN).sum() <= 2


@pytest.mark.parametrize("how", ["fold", "gate"])
def test_deactivation(kimi: KimiAudio, weights: Any, tools: Any, how: Any) -> None:
    rows, batch = prepared(kimi, tools)
    member_LN = np.random.default_rng(0).random((3, 64)) < 0.4
    option = torch.zeros(3, 1, dtype=torch.long)
    with scaled(find_gates(kimi.decoder), member_LN, 0.0, how):
        ours = answer(kimi, batch, option, 6).tokens
    assert ours == [
        greedy(x_LD, weights["main"], 6, (~member_LN).astype(float)) for x_LD, _, _ in restated(rows, weights, tools)
    ]
    assert ours != answer(kimi, batch, option, 6).tokens, "a deactivation that changes no answer shows nothing"


class TestConformance(AudioLMConformance):
    adapter = KimiAudio

    @pytest.fixture
    def lm(self, kimi: KimiAudio) -> KimiAudio:
        return kimi


@pytest.mark.parametrize(("seconds", "codes", "pieces"), [
    (0.05, 1, 1), (1.0, 13, 1), (29.99, 375, 1), (30.0, 375, 1), (31.0, 388, 2), (95.0, 1188, 4),
])  # fmt: skip
def test_windows_and_audio_tokens_at_every_boundary(
    kimi: KimiAudio, tools: Any, seconds: float, codes: int, pieces: int
) -> None:
    wave = tools.wave(round(seconds * 16_000))
    assert len(windows(wave)) == pieces
    features = kimi.preprocess(wave)
    assert len(kimi.codes(features)) == len(kimi.features([features])[0]) == codes
    assert codes == sum(-(-len(piece) // 1280) for piece in windows(wave))

"""Each stage equals a slow restatement of its equations in NumPy, float64, written from the description alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file
from scipy.special import erf
from transformers.audio_utils import mel_filter_bank

from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.kimi_audio.audio import segments

Array = npt.NDArray[np.float64]
BASE, OFFSET = 256, 677
BLANK = BASE + 23
# 0.05 s; 4.5 s, more than one block of look-ahead; 31 s, two segments.
LENGTHS = (800, 72_000, 496_000)


def gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + erf(x / np.sqrt(2))))


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def layer_norm(x: Array, w: dict[str, Array], name: str, eps: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return np.asarray(scaled * w[f"{name}.weight"] + w[f"{name}.bias"])


def log_mel(wave: Array) -> Array:
    """[M, F]: reflected ends, Hann window of 400, hop 160, slaney filters; no last frame."""
    padded = np.pad(wave, 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = [padded[i * 160 : i * 160 + 400] * window for i in range(len(wave) // 160)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    filters = mel_filter_bank(201, 128, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    log = np.log10(np.maximum(power @ filters, 1e-10)).T
    return np.asarray((np.maximum(log, log.max() - 8) + 4) / 4)


def convolve(x_CT: Array, w: dict[str, Array], name: str, before: int, after: int, stride: int) -> Array:
    padded = np.pad(x_CT, ((0, 0), (before, after)))
    weight = w[f"{name}.weight"]
    starts = range(0, padded.shape[1] - 2, stride)
    return np.stack([np.einsum("oik,ik->o", weight, padded[:, t : t + 3]) + w[f"{name}.bias"] for t in starts], axis=1)


def whisper_layer(x_TD: Array, w: dict[str, Array], at: str, heads: int, sees: Array) -> Array:
    normed = layer_norm(x_TD, w, f"{at}.self_attn_layer_norm", 1e-5)
    q = normed @ w[f"{at}.self_attn.q_proj.weight"].T + w[f"{at}.self_attn.q_proj.bias"]
    k = normed @ w[f"{at}.self_attn.k_proj.weight"].T
    v = normed @ w[f"{at}.self_attn.v_proj.weight"].T + w[f"{at}.self_attn.v_proj.bias"]
    size = x_TD.shape[1] // heads
    mixed = np.zeros_like(x_TD)
    for head in range(heads):
        mine = slice(head * size, (head + 1) * size)
        scores = np.where(sees, q[:, mine] @ k[:, mine].T / np.sqrt(size), -np.inf)
        mixed[:, mine] = softmax(scores) @ v[:, mine]
    x_TD = x_TD + mixed @ w[f"{at}.self_attn.out_proj.weight"].T + w[f"{at}.self_attn.out_proj.bias"]
    normed = layer_norm(x_TD, w, f"{at}.final_layer_norm", 1e-5)
    inner = gelu(normed @ w[f"{at}.fc1.weight"].T + w[f"{at}.fc1.bias"])
    return np.asarray(x_TD + inner @ w[f"{at}.fc2.weight"].T + w[f"{at}.fc2.bias"])


def discrete_codes(wave: Array, w: dict[str, Array]) -> list[int]:
    """Segment by segment, each at its own length in whole codes."""
    codes: list[int] = []
    for start in range(0, len(wave), 480_000):
        piece = wave[start : start + 480_000]
        count = -(-len(piece) // 1280)
        length = count if len(wave) <= 480_000 else 375  # a tail stands beside full segments
        mel = log_mel(np.pad(piece, (0, length * 1280 - len(piece))))
        x = gelu(convolve(mel, w, "conv1", 2, 0, 1))
        x = gelu(convolve(x, w, "conv2", 2, 0, 2)).T
        x = x + w["embed_positions.weight"][: len(x)]
        i, j = np.arange(len(x))[:, None], np.arange(len(x))[None]
        valid = np.arange(0, mel.shape[1], 2) * 160 < len(piece)
        sees = ((j <= i) | (i // 200 == j // 200)) & valid
        for layer in range(4):
            x = whisper_layer(x, w, f"layers.{layer}", 2, sees)
        for row in x.reshape(-1, 4, x.shape[1]).mean(1)[:count]:
            codes.append(int(((w["codebook.weight"] - row) ** 2).sum(1).argmin()))
    return codes


def continuous(wave: Array, w: dict[str, Array]) -> Array:
    """[R, 4·16]: every segment filled to 30 s, attended without a mask, cut to its codes, four frames a row."""
    rows = []
    for start in range(0, len(wave), 480_000):
        piece = wave[start : start + 480_000]
        count = -(-len(piece) // 1280)
        x = gelu(convolve(log_mel(np.pad(piece, (0, 480_000 - len(piece)))), w, "model.encoder.conv1", 1, 1, 1))
        x = gelu(convolve(x, w, "model.encoder.conv2", 1, 1, 2)).T + w["model.encoder.embed_positions.weight"]
        everything = np.ones((len(x), len(x)), bool)
        for layer in range(2):
            x = whisper_layer(x, w, f"model.encoder.layers.{layer}", 2, everything)
        x = layer_norm(x, w, "model.encoder.layer_norm", 1e-5)
        rows.append(x[: 4 * count].reshape(count, -1))
    return np.concatenate(rows)


def adapted(features: Array, w: dict[str, Array]) -> Array:
    at = "model.vq_adaptor.layers"
    inner = silu(features @ w[f"{at}.0.weight"].T + w[f"{at}.0.bias"]) @ w[f"{at}.3.weight"].T + w[f"{at}.3.bias"]
    return layer_norm(inner, w, f"{at}.4", 1e-6)


def rms(x: Array, weight: Array) -> Array:
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weight)


def rotate(x_LS: Array, theta: float = 1e6) -> Array:
    half = x_LS.shape[1] // 2
    angle = np.arange(len(x_LS))[:, None] * theta ** (-np.arange(half) / half)
    first, second = x_LS[:, :half], x_LS[:, half:]
    return np.concatenate(
        [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)], axis=1
    )


def text_logits(x_LD: Array, w: dict[str, Array]) -> tuple[Array, list[Array]]:
    """Logits [V] after the last position, and g [L, N] of each layer: 3 layers, 4 heads on 2, theta 1e6."""
    gates = []
    future = np.triu(np.full((len(x_LD), len(x_LD)), -np.inf), 1)
    for layer in range(3):
        at = f"model.layers.{layer}"
        normed = rms(x_LD, w[f"{at}.input_layernorm.weight"])
        q, k, v = (
            normed @ w[f"{at}.self_attn.{one}_proj.weight"].T + w[f"{at}.self_attn.{one}_proj.bias"] for one in "qkv"
        )
        mixed = []
        for head in range(4):
            mine, shared = slice(8 * head, 8 * head + 8), slice(8 * (head // 2), 8 * (head // 2) + 8)
            scores = rotate(q[:, mine]) @ rotate(k[:, shared]).T / np.sqrt(8)
            mixed.append(softmax(scores + future) @ v[:, shared])
        x_LD = x_LD + np.concatenate(mixed, 1) @ w[f"{at}.self_attn.o_proj.weight"].T
        normed = rms(x_LD, w[f"{at}.post_attention_layernorm.weight"])
        gates.append(silu(normed @ w[f"{at}.mlp.gate_proj.weight"].T))
        x_LD = x_LD + (gates[-1] * (normed @ w[f"{at}.mlp.up_proj.weight"].T)) @ w[f"{at}.mlp.down_proj.weight"].T
    return np.asarray(rms(x_LD, w["model.norm.weight"])[-1] @ w["lm_head.weight"].T), gates


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
    assert kimi.codes(wave).tolist() == expected
    assert samples < 2_000 or len(set(expected)) > 2, "one code everywhere shows nothing"


@pytest.mark.parametrize("samples", [800, 496_000])
def test_continuous_features_and_rows(kimi: KimiAudio, weights: Any, tools: Any, samples: int) -> None:
    wave = tools.wave(samples)
    features = continuous(wave.astype(np.float64), weights["whisper"])
    np.testing.assert_allclose(kimi.features(wave), features, atol=2e-4)
    token = weights["main"]["model.embed_tokens.weight"][np.array(discrete_codes(wave, weights["glm"])) + OFFSET]
    np.testing.assert_allclose(kimi.encode(wave), (token + adapted(features, weights["main"])) * np.sqrt(2), atol=5e-4)


def test_answers_gates_and_logits_with_two_streams_embedded_and_the_whole_prompt_run_again_for_every_token(
    kimi: KimiAudio, weights: Any, tools: Any
) -> None:
    w = weights["main"]
    table = w["model.embed_tokens.weight"]
    items = [(16_000, "Which?"), (800, "Listen, and choose: 1 or 2"), (72_000, "Why?")]
    rows = [kimi.encode(tools.wave(samples)) for samples, _ in items]
    prompts = [kimi.prompt(len(r), text) for r, (_, text) in zip(rows, items, strict=True)]
    ours = answer(kimi, pad(kimi, prompts, rows), torch.arange(len(table)).expand(3, -1), 6)
    for index, (samples, text) in enumerate(items):
        codes = [c + OFFSET for c in discrete_codes(tools.wave(samples), weights["glm"])]
        written = list(text.encode())
        audio = [BASE + 27, *[BLANK] * len(written), BASE + 18, *codes, BASE + 20, BASE + 32, BASE + 2, BASE + 28]
        texts = [BLANK, *written, *[BLANK] * (len(audio) - len(written) - 1)]
        begin = 2 + len(written)
        x = table[audio]
        x[begin : begin + len(codes)] = rows[index].numpy()
        x = x + table[texts]
        said: list[int] = []
        for step in range(6):
            logits, _ = text_logits(x, w)
            if step == 0:
                expected = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
                np.testing.assert_allclose(ours.logprob_BO[index], expected, atol=2e-4)
            token = int(logits.argmax())
            if token == BASE + 24:
                break
            said.append(token)
            x = np.concatenate([x, [table[BLANK] + table[token]]])
        assert ours.tokens[index] == said
    assert len({tuple(t) for t in ours.tokens}) > 1


@pytest.mark.parametrize(("seconds", "codes", "pieces"), [
    (0.05, 1, 1), (1.0, 13, 1), (29.99, 375, 1), (30.0, 375, 1), (31.0, 388, 2), (95.0, 1188, 4),
])  # fmt: skip
def test_segments_and_rows_at_every_boundary(
    kimi: KimiAudio, tools: Any, seconds: float, codes: int, pieces: int
) -> None:
    wave = tools.wave(round(seconds * 16_000))
    assert len(segments(wave)) == pieces
    assert len(kimi.codes(wave)) == len(kimi.features(wave)) == codes
    assert codes == sum(-(-len(piece) // 1280) for piece in segments(wave))

"""Kimi-Audio's equations restated slowly in NumPy, float64, from the description alone, at the tests' model's size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import erf
from transformers.audio_utils import mel_filter_bank

Array = npt.NDArray[np.float64]
BASE, OFFSET = 256, 677
BLANK = BASE + 23


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


def whisper_layer(x_TD: Array, w: dict[str, Array], prefix: str, heads: int, sees: Array) -> Array:
    normed = layer_norm(x_TD, w, f"{prefix}.self_attn_layer_norm", 1e-5)
    q = normed @ w[f"{prefix}.self_attn.q_proj.weight"].T + w[f"{prefix}.self_attn.q_proj.bias"]
    k = normed @ w[f"{prefix}.self_attn.k_proj.weight"].T
    v = normed @ w[f"{prefix}.self_attn.v_proj.weight"].T + w[f"{prefix}.self_attn.v_proj.bias"]
    size = x_TD.shape[1] // heads
    mixed = np.zeros_like(x_TD)
    for head in range(heads):
        mine = slice(head * size, (head + 1) * size)
        scores = np.where(sees, q[:, mine] @ k[:, mine].T / np.sqrt(size), -np.inf)
        mixed[:, mine] = softmax(scores) @ v[:, mine]
    x_TD = x_TD + mixed @ w[f"{prefix}.self_attn.out_proj.weight"].T + w[f"{prefix}.self_attn.out_proj.bias"]
    normed = layer_norm(x_TD, w, f"{prefix}.final_layer_norm", 1e-5)
    inner = gelu(normed @ w[f"{prefix}.fc1.weight"].T + w[f"{prefix}.fc1.bias"])
    return np.asarray(x_TD + inner @ w[f"{prefix}.fc2.weight"].T + w[f"{prefix}.fc2.bias"])


def discrete_codes(wave: Array, w: dict[str, Array]) -> list[int]:
    """Segment by segment, each at its own length in whole codes."""
    codes: list[int] = []
    for start in range(0, len(wave), 480_000):
        piece = wave[start : start + 480_000]
        count = -(-len(piece) // 1280)
        length = count if len(wave) <= 480_000 else 375  # a tail is batched with full segments
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
    prefix = "model.vq_adaptor.layers"
    inner = (
        silu(features @ w[f"{prefix}.0.weight"].T + w[f"{prefix}.0.bias"]) @ w[f"{prefix}.3.weight"].T
        + w[f"{prefix}.3.bias"]
    )
    return layer_norm(inner, w, f"{prefix}.4", 1e-6)


def rms(x: Array, weight: Array) -> Array:
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weight)


def rotate(x_LS: Array, theta: float = 1e6) -> Array:
    half = x_LS.shape[1] // 2
    angle = np.arange(len(x_LS))[:, None] * theta ** (-np.arange(half) / half)
    first, second = x_LS[:, :half], x_LS[:, half:]
    return np.concatenate(
        [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)], axis=1
    )


def text_logits(x_LD: Array, w: dict[str, Array], keep_LN: Array | float = 1.0) -> tuple[Array, list[Array]]:
    """Logits [V] after the last position, and g [L, N] of each layer: 3 layers, 4 heads on 2, theta 1e6.

    `keep_LN` multiplies the gates of each layer.
    """
    gates = []
    keep_LN = np.broadcast_to(keep_LN, (3, 64))
    future = np.triu(np.full((len(x_LD), len(x_LD)), -np.inf), 1)
    for layer in range(3):
        prefix = f"model.layers.{layer}"
        normed = rms(x_LD, w[f"{prefix}.input_layernorm.weight"])
        q, k, v = (
            normed @ w[f"{prefix}.self_attn.{name}_proj.weight"].T + w[f"{prefix}.self_attn.{name}_proj.bias"]
            for name in "qkv"
        )
        mixed = []
        for head in range(4):
            mine, shared = slice(8 * head, 8 * head + 8), slice(8 * (head // 2), 8 * (head // 2) + 8)
            scores = rotate(q[:, mine]) @ rotate(k[:, shared]).T / np.sqrt(8)
            mixed.append(softmax(scores + future) @ v[:, shared])
        x_LD = x_LD + np.concatenate(mixed, 1) @ w[f"{prefix}.self_attn.o_proj.weight"].T
        normed = rms(x_LD, w[f"{prefix}.post_attention_layernorm.weight"])
        gates.append(silu(normed @ w[f"{prefix}.mlp.gate_proj.weight"].T) * keep_LN[layer])
        x_LD = (
            x_LD + (gates[-1] * (normed @ w[f"{prefix}.mlp.up_proj.weight"].T)) @ w[f"{prefix}.mlp.down_proj.weight"].T
        )
    return np.asarray(rms(x_LD, w["model.norm.weight"])[-1] @ w["lm_head.weight"].T), gates


def embedded(rows_RD: Array, codes: list[int], text: str, w: dict[str, Array]) -> tuple[Array, slice, slice]:
    """The two streams of a prompt embedded and added, [L, D], and the positions of audio and words."""
    table, written = w["model.embed_tokens.weight"], list(text.encode())
    offset = [code + OFFSET for code in codes]
    audio = [BASE + 27, *[BLANK] * len(written), BASE + 18, *offset, BASE + 20, BASE + 32, BASE + 2, BASE + 28]
    texts = [BLANK, *written, *[BLANK] * (len(audio) - len(written) - 1)]
    begin = 2 + len(written)
    x_LD = table[audio]
    x_LD[begin : begin + len(codes)] = rows_RD
    return x_LD + table[texts], slice(begin, begin + len(codes)), slice(1, 1 + len(written))


def greedy(x_LD: Array, w: dict[str, Array], new: int, keep_LN: Array | float = 1.0) -> list[int]:
    """The whole prompt run again for every token; only the end of text ends an answer."""
    table, tokens = w["model.embed_tokens.weight"], list[int]()
    while len(tokens) < new:
        token = int(text_logits(x_LD, w, keep_LN)[0].argmax())
        if token == BASE + 24:
            break
        tokens.append(token)
        x_LD = np.concatenate([x_LD, [table[BLANK] + table[token]]])
    return tokens

"""A model with planted emotion neurons: real classes, every weight set by hand.

Residual stream of 64: a constant (dim 0), five emotion directions, five answer directions, one stop direction, and
noise that differs from token to token. Audio rows carry their emotion's direction; the first layer's attention spreads
it evenly over what follows; planted gates turn it into the answer direction of the emotion's word. All other gates see
the noise only, which is the same multiset of tokens in every prompt: their counts are equal for all emotions.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from esn_dist.models.qwen2_5_omni.adapter import audio_token_count
from esn_dist.models.tiny.architecture import TinySize, build, save, tokenizer
from esn_dist.models.tiny.speech import log_mels

EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
SIZE = TinySize(hidden=64, layers=2, gates=100, audio_width=64, audio_ffn=64)
PER_LAYER = 2  # planted gates of each emotion in each layer
PLANTED = PER_LAYER * SIZE.layers
CONSTANT, EMOTION, ANSWER, STOP, NOISE = 0, 1, 6, 11, 12
HERTZ = (300, 600, 1200, 2400, 4800)
RATE = 16_000


def planted_gates() -> npt.NDArray[np.bool_]:
    """planted[emotion, layer, neuron]: scattered, disjoint."""
    places = np.random.default_rng(3).permutation(SIZE.gates)[: len(EMOTIONS) * PER_LAYER].reshape(len(EMOTIONS), -1)
    planted = np.zeros((len(EMOTIONS), SIZE.layers, SIZE.gates), np.bool_)
    for emotion, neurons in enumerate(places):
        for layer in range(SIZE.layers):
            planted[emotion, layer, (neurons + 7 * layer) % SIZE.gates] = True
    return planted


def write_model(folder: Path) -> None:
    """The checkpoint, as any other."""
    model: Any = build(SIZE, seed=1)
    with torch.no_grad():
        _set_words(model)
        _set_attention(model.model.language_model.layers)
        _set_gates(model.model.language_model.layers)
        _set_tower(model.model.audio_tower)
    save(model, folder)


def write_corpus(folder: Path, evaluation: int, identification: int) -> None:
    """One tone per emotion, in noise, as wav files with a manifest."""
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "emotion", "speaker", "split"])
        for split, count in (("test", evaluation), ("train", identification)):
            for code, emotion in enumerate(EMOTIONS):
                for number in range(count):
                    name = f"{split}-{emotion}-{number}"
                    soundfile.write(folder / f"{name}.wav", _tone(code, number), RATE, subtype="PCM_16")
                    writer.writerow([name, f"{name}.wav", emotion, f"s{number % 3}", split])


def _tone(code: int, number: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng([code, number])
    time = np.arange(RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * HERTZ[code] * time + random.uniform(0, 6)) + 0.003 * random.standard_normal(RATE)
    return np.asarray(tone, np.float32)


def _set_words(model: Any) -> None:
    table_VD, head_VD = model.model.language_model.embed_tokens.weight, model.lm_head.weight
    words = tokenizer().vocab
    random = torch.Generator().manual_seed(5)
    table_VD.zero_()
    table_VD[:, CONSTANT] = 1.0
    table_VD[:, NOISE:] = torch.randn(len(table_VD), SIZE.hidden - NOISE, generator=random)
    head_VD.zero_()
    for code, emotion in enumerate(EMOTIONS):
        token = words[f"Ġ{emotion}"]
        table_VD[token, STOP] = 1.0
        table_VD[token, NOISE:] = table_VD[words[f"Ġ{EMOTIONS[0]}"], NOISE:]  # no gate can tell the words apart
        head_VD[token, ANSWER + code] = 1.0
    # Where nothing speaks for an emotion all logits are 0, and the first token of the vocabulary, a stop, is taken.
    head_VD[words["<|im_end|>"], STOP] = 1000.0


def _set_attention(layers: Any) -> None:
    for layer in layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            projection.weight.zero_()
            projection.bias.zero_()
        layer.self_attn.o_proj.weight.zero_()
    for code in range(len(EMOTIONS)):
        layers[0].self_attn.v_proj.weight[code, EMOTION + code] = 1.0
        layers[0].self_attn.o_proj.weight[EMOTION + code, code] = 8.0


def _set_gates(layers: Any) -> None:
    random = torch.Generator().manual_seed(9)
    for number, layer in enumerate(layers):
        mlp = layer.mlp
        for projection in (mlp.gate_proj, mlp.up_proj, mlp.down_proj):
            projection.weight.zero_()
        mlp.gate_proj.weight[:, NOISE:] = torch.randn(SIZE.gates, SIZE.hidden - NOISE, generator=random)
        for code, planted_LN in enumerate(planted_gates()):
            for neuron in np.flatnonzero(planted_LN[number]).tolist():
                mlp.gate_proj.weight[neuron] = 0.0
                mlp.gate_proj.weight[neuron, EMOTION + code] = 1.0
                mlp.gate_proj.weight[neuron, CONSTANT] = -0.25  # silent unless its emotion speaks
                mlp.up_proj.weight[neuron, CONSTANT] = 1.0
                mlp.down_proj.weight[ANSWER + code, neuron] = 4.0


def _set_tower(tower: Any) -> None:
    """The tower stays as drawn; its output projection is the least-squares map from what it hears to the emotion."""
    inputs: list[torch.Tensor] = []
    hook = tower.proj.register_forward_pre_hook(lambda module, given: inputs.append(given[0].clone()))
    targets = []
    for code in range(len(EMOTIONS)):
        for number in range(100, 104):  # other recordings than the corpus's
            mel_1MF, frames = log_mels([_tone(code, number)])
            tower(mel_1MF[0, :, : frames[0]], feature_lens=torch.tensor(frames))
            target_RD = torch.zeros(audio_token_count(frames[0]), len(EMOTIONS))
            target_RD[:, code] = 1.0
            targets.append(target_RD)
    hook.remove()
    rows_RW = torch.cat(inputs)
    with_bias = torch.cat([rows_RW, torch.ones(len(rows_RW), 1)], dim=1)
    solution = torch.linalg.lstsq(with_bias, torch.cat(targets)).solution
    tower.proj.weight.zero_()
    tower.proj.bias.zero_()
    tower.proj.weight[EMOTION : EMOTION + len(EMOTIONS)] = solution[:-1].T
    tower.proj.bias[EMOTION : EMOTION + len(EMOTIONS)] = solution[-1]
    tower.proj.bias[CONSTANT] = 1.0
    tower.proj.bias[NOISE:] = torch.randn(SIZE.hidden - NOISE, generator=torch.Generator().manual_seed(11))

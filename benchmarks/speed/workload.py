"""The workload of a benchmark: one model, clips on disk, and a question about each; at tiny and at full size.

`tiny` is the shipped model on synthetic speech: it answers, and stops. `full` has the sizes of Qwen2.5-Omni-7B and
random weights, which never stop: its stop token is outside the vocabulary. So every method generates the same two
tokens.
Knows no method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration

from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS, materialise
from esn_dist.gates.find import Gate, find_gates
from esn_dist.inference.selfcheck import clip
from esn_dist.models.chat_prompt import chat_prompt, conversation
from esn_dist.models.loading import load
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny.architecture import SYSTEM, TinySize, feature_extractor, thinker_config, tokenizer
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import option_order, question

TOKENS = 217  # of the average prompt at full size: about a clip of six seconds
ROWS_PER_SECOND = 25
SHARE = 0.005  # of the gates that a mask holds, as in the paper
STOP_TOKENS = 20  # at most, of an answer that ends by itself: what a sweep allows


@dataclass(frozen=True)
class Workload:
    """A model and its clips.

    Attributes:
        load: makes the model; can be pickled.
        new_tokens: at most so many in an answer.
        token_budget: padded tokens of our batches.
    """

    load: Callable[[], Qwen25Omni]
    clips: tuple[Path, ...]
    new_tokens: int
    token_budget: int

    @cached_property
    def lm(self) -> Qwen25Omni:
        return self.load()

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        return find_gates(self.lm.decoder)

    def mask(self, seed: int) -> npt.NDArray[np.bool_]:
        """A random mask [layer, neuron]."""
        shape = len(self.gates), self.gates[0].width
        return np.random.default_rng(seed).random(shape) < SHARE


def order_of(path: Path) -> tuple[str, ...]:
    """The emotions as the clip's question shows them."""
    return option_order(SYNTHETIC_EMOTIONS, 0, "speed", path.stem)


def thinned(clips: Sequence[Path], every: int) -> tuple[Path, ...]:
    """Every n-th clip by size, so that the average length is about the same; in the order of `clips`."""
    kept = set(sorted(clips, key=lambda path: (path.stat().st_size, path))[every // 2 :: every])
    return tuple(path for path in clips if path in kept)


def workload_of(size: str, folder: Path, utterances: int, token_budget: int, dots: int = 0) -> Workload:
    """The workload of a size, with speech in `folder`; of 0 utterances, the usual number.

    Args:
        token_budget: of our batches at full size.
        dots: further tokens of the system prompt, and fewer of audio, at full size.
    """
    if size == "tiny":
        return tiny(folder, utterances or 120)
    return full(folder, utterances or 512, token_budget, SYSTEM + dots * ".")


def tiny(folder: Path, utterances: int, dtype: str = "float32", device: str = "cpu") -> Workload:
    """The shipped model on synthetic speech in `folder`."""
    corpus = materialise(folder, "room", {"development": ceil(utterances / len(SYNTHETIC_EMOTIONS))}, seed=1, workers=2)
    paths = sorted(corpus.rglob("*.wav"))
    shuffled = np.random.default_rng(0).permutation(len(paths))[:utterances]  # a folder is sorted by emotion
    return Workload(partial(shipped, dtype, device), tuple(paths[i] for i in shuffled), STOP_TOKENS, 4_096)


def shipped(dtype: str, device: str) -> Qwen25Omni:
    """The tiny model of the package."""
    spec = ModelSpec.model_validate({"name": "tiny-qwen2.5-omni", "dtype": dtype})
    model = load(spec, "cuda" if device == "cuda" else "cpu")
    assert isinstance(model, Qwen25Omni)
    return model


def full(folder: Path, utterances: int, token_budget: int, system: str) -> Workload:
    """Qwen2.5-Omni-7B's sizes in bfloat16 on the GPU, with a system prompt."""
    load = partial(drawn, full_config(), "cuda", torch.bfloat16, system)
    return forced(load, folder, utterances, token_budget, system)


def forced(
    load: Callable[[], Qwen25Omni], folder: Path, utterances: int, token_budget: int, system: str = SYSTEM
) -> Workload:
    """A model that never stops: its answers have a first token, and a second one instead of the stop token."""
    return Workload(load, buzzes(folder, utterances, system), 2, token_budget)


def full_config() -> Any:
    """The published sizes, with the tiny tokenizer's special tokens: speed does not depend on their ids."""
    tiny_config = thinker_config(TinySize(), tokenizer())
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    text = {"rope_parameters": rope, "tie_word_embeddings": False, "pad_token_id": 0, "eos_token_id": None}
    names = ("audio_token_index", "image_token_index", "video_token_index", "audio_start_token_id")
    ids = {name: tiny_config.to_dict()[name] for name in (*names, "audio_end_token_id", "user_token_id")}
    config: Any = Qwen2_5OmniThinkerConfig(text_config=text, tie_word_embeddings=False, **ids)
    config.vision_start_token_id = tiny_config.vision_start_token_id
    return config


def drawn(config: Any, device: str, dtype: torch.dtype, system: str = SYSTEM) -> Qwen25Omni:
    """A model of random weights (spread 0.02, norms one: transformers' own initialisation), created on its device."""
    torch.manual_seed(0)
    with torch.device(device):
        thinker: Any = Qwen2_5OmniThinkerForConditionalGeneration._from_config(config, dtype=dtype)
    del thinker.model.visual
    model = Qwen25Omni(
        thinker.eval(), tokenizer(), feature_extractor(), Qwen25Omni.settings | {"system_prompt": system}
    )
    model.stop_ids = (config.text_config.vocab_size,)
    return model


def buzzes(folder: Path, utterances: int, system: str) -> tuple[Path, ...]:
    """Speech-like wav files for prompts of `TOKENS` tokens on average; half to one and a half of the mean length."""
    words = tokenizer()
    turns = conversation(system, question(SYNTHETIC_EMOTIONS), "audio, text")
    text = len(chat_prompt(words, turns, words.vocab["<|AUDIO|>"], 0))
    mean = (TOKENS - text) / ROWS_PER_SECOND
    folder.mkdir(parents=True, exist_ok=True)
    seconds = np.random.default_rng(0).permutation(np.linspace(0.5 * mean, 1.5 * mean, utterances))
    paths = tuple(folder / f"{number:05}.wav" for number in range(utterances))
    for path, length in zip(paths, seconds, strict=True):
        soundfile.write(path, clip(length), 16_000)
    return paths

"""Utterances as the frozen part of the tiny model's audio tower leaves them: computed once, used in every step.

Knows neither prompts nor losses. Shape letters: see `esn_dist.models`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from esn_dist.corpora.audio import SAMPLE_RATE
from esn_dist.models.qwen2_5_omni.adapter import HOP, SILENCE_SAMPLES, audio_token_count
from esn_dist.models.tiny.architecture import feature_extractor

TOGETHER = 64  # clips through the tower at a time


@dataclass(frozen=True, slots=True)
class Speech:
    """Utterances ready for the tower's output norm and projection.

    Attributes:
        rows_NRE: float32, zero where an utterance has fewer rows than the longest.
        rows_N: audio rows (= placeholder tokens) of each utterance.
        emotion_N: position in the emotions asked for.
        corpus_N: position of the corpus it came from.
    """

    rows_NRE: Tensor
    rows_N: Tensor
    emotion_N: Tensor
    corpus_N: Tensor

    def __len__(self) -> int:
        return len(self.rows_N)

    def to(self, device: torch.device) -> Speech:
        """The same on another device."""
        return Speech(*(value.to(device) for value in (self.rows_NRE, self.rows_N, self.emotion_N, self.corpus_N)))


def load_speech(
    corpora: Sequence[Path], split: str, emotions: Sequence[str], model: Qwen2_5OmniThinkerForConditionalGeneration
) -> Speech:
    """Every utterance of `split` in `corpora` (folders with a manifest.csv), through `model`'s frozen tower."""
    listed = [
        (corpus / line["path"], emotions.index(line["emotion"]), number)
        for number, corpus in enumerate(corpora)
        for line in _manifest(corpus)
        if line["split"] == split
    ]
    rows = list(_rows([path for path, _, _ in listed], model))
    return Speech(
        torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        torch.tensor([len(row) for row in rows]),
        torch.tensor([emotion for _, emotion, _ in listed]),
        torch.tensor([number for _, _, number in listed]),
    )


def _manifest(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _rows(paths: Sequence[Path], model: Qwen2_5OmniThinkerForConditionalGeneration) -> Iterator[Tensor]:
    """The tower's rows of each clip, before its output norm: everything below that stays as drawn."""
    tower = model.model.audio_tower
    captured: list[Tensor] = []
    hook = tower.ln_post.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    device = tower.proj.weight.device
    with torch.inference_mode():
        for start in range(0, len(paths), TOGETHER):
            mels, frames = log_mels([_samples(path) for path in paths[start : start + TOGETHER]])
            joined = torch.cat([mel[:, :length] for mel, length in zip(mels, frames, strict=True)], dim=1)
            tower(joined.to(device), feature_lens=torch.tensor(frames, device=device))
            yield from captured.pop().cpu().clone().split([audio_token_count(length) for length in frames])
    hook.remove()


def log_mels(clips: Sequence[npt.NDArray[np.float32]]) -> tuple[Tensor, list[int]]:
    """Log-mel features [clip, M, F] and the number of true frames of each clip."""
    padded = [np.pad(clip, (0, SILENCE_SAMPLES)) for clip in clips]
    mels = feature_extractor()(padded, sampling_rate=SAMPLE_RATE, padding="longest", return_tensors="pt").input_features
    return mels, [-(-len(clip) // HOP) for clip in clips]


def _samples(path: Path) -> npt.NDArray[np.float32]:
    samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(samples, dtype=np.float32)

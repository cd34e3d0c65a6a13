"""From samples to the inputs of Kimi-Audio's encoders: windows of 30 s, and two log-mels with two rules of padding.

The speech tokenizer gets a window at its own length, padded to the next code. Whisper always gets 30 s. Both give one
audio token per 1,280 samples begun. Knows no weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from esn_dist.corpora.audio import SAMPLE_RATE

WINDOW = 480_000  # samples: 30 s at 16 kHz
TOKEN = 1_280  # samples of one code: hop 160 × stride 2 × pool 4

Wave = npt.NDArray[np.float32]


def windows(wave_S: Wave) -> list[Wave]:
    """Consecutive windows of 30 s without overlap; the last one may be shorter."""
    return [wave_S[start : start + WINDOW] for start in range(0, len(wave_S), WINDOW)]


def window_token_count(samples: int) -> int:
    """Codes, and continuous features, of one window."""
    return (samples - 1) // TOKEN + 1


def tokenizer_mel(extractor: Any, waves: list[Wave]) -> tuple[Tensor, Tensor]:
    """Log-mel [W, M, F] at the length of the longest window, in whole codes, and valid frames [W, F].

    The windows of one clip form a batch, as in the official code, and are never batched with those of another clip.
    The last frame of a clip reflects its end, and would contain silence in a batch with a longer clip.
    """
    features = extractor(
        waves, sampling_rate=SAMPLE_RATE, padding="longest", pad_to_multiple_of=TOKEN, return_attention_mask=True,
        return_tensors="pt",
    )  # fmt: skip
    return features["input_features"], features["attention_mask"]


def whisper_mel(extractor: Any, wave_S: Wave) -> Tensor:
    """Log-mel [1, M, 3000] of one window, padded with silence to exactly 30 s before the mel is taken."""
    features = extractor([wave_S], sampling_rate=SAMPLE_RATE, padding="max_length", return_tensors="pt")
    mel_1MF: Tensor = features["input_features"]
    return mel_1MF

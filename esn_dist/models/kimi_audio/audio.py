"""From samples to what Kimi-Audio's encoders take: 30 s segments, and two log-mels with two rules of padding.

The speech tokenizer hears a segment at its own length, filled to the next code; Whisper always hears 30 s. Both give
one row per 1,280 samples begun. Knows no weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

SEGMENT = 480_000  # samples: 30 s at 16 kHz
ROW = 1_280  # samples of one code: hop 160 × stride 2 × pool 4
RATE = 16_000

Wave = npt.NDArray[np.float32]


def segments(wave_S: Wave) -> list[Wave]:
    """Consecutive pieces of 30 s, without overlap; the last one as short as it comes."""
    return [wave_S[start : start + SEGMENT] for start in range(0, len(wave_S), SEGMENT)]


def rows(samples: int) -> int:
    """Codes, and continuous features, of one segment."""
    return (samples - 1) // ROW + 1


def tokenizer_mel(extractor: Any, pieces: list[Wave]) -> tuple[Tensor, Tensor]:
    """Log-mel [S, M, F] at the length of the longest segment, in whole codes, and valid frames [S, F].

    The segments of one utterance stand together, as officially, and never with another utterance's: the last frame of
    a clip reflects its end, and would see silence beside a longer neighbour.
    """
    features = extractor(
        pieces, sampling_rate=RATE, padding="longest", pad_to_multiple_of=ROW, return_attention_mask=True,
        return_tensors="pt",
    )  # fmt: skip
    return features["input_features"], features["attention_mask"]


def whisper_mel(extractor: Any, piece: Wave) -> Tensor:
    """Log-mel [1, M, 3000] of one segment, filled with silence to exactly 30 s before the mel is taken."""
    features = extractor([piece], sampling_rate=RATE, padding="max_length", return_tensors="pt")
    mel_1MF: Tensor = features["input_features"]
    return mel_1MF

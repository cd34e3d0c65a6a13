"""Kimi-Audio's weights as one module: speech tokenizer, Whisper encoder, adaptor, 28 Qwen2 layers, text head.

The speech branch (six MIMO layers and the audio head) takes nothing back into the text path and is left out. Knows
where each weight stands in the published files; knows no prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import Qwen2Model
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from esn_dist.models.download import GLM
from esn_dist.models.kimi_audio.config import WHISPER, KimiConfig
from esn_dist.models.kimi_audio.speech_tokenizer import SpeechTokenizer

# Part of the module → folder, and what stands before the name there (several spellings circulate).
STORED: dict[str, tuple[str, tuple[str, ...]]] = {
    "decoder.": ("", ("model.",)),
    "head.": ("", ("lm_head.",)),
    "adaptor.": ("", ("model.vq_adaptor.layers.",)),
    "whisper.": (WHISPER, ("model.encoder.", "encoder.")),
    "speech_tokenizer.": (GLM, ("", "model.encoder.")),
}


class KimiNetwork(nn.Module):
    """All that text output needs."""

    _no_split_modules: ClassVar = ["Qwen2DecoderLayer", "WhisperEncoderLayer"]

    def __init__(self, config: KimiConfig) -> None:
        super().__init__()
        hidden = config.text.hidden_size
        self.stacked = config.adaptor_width // config.whisper.d_model
        self.speech_tokenizer = SpeechTokenizer(config.speech_tokenizer)
        self.whisper = WhisperEncoder(config.whisper)
        self.adaptor = nn.Sequential(
            nn.Linear(config.adaptor_width, hidden),
            nn.SiLU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden, eps=config.text.rms_norm_eps),  # not torch's own 1e-5
        )
        self.decoder = Qwen2Model(config.text)
        self.head = nn.Linear(hidden, config.text.vocab_size, bias=False)

    @torch.inference_mode()
    def codes(self, mel_SMF: Tensor, valid_SF: Tensor) -> Tensor:
        """Discrete codes [R] of one utterance's segments."""
        codes_R: Tensor = self.speech_tokenizer(mel_SMF, valid_SF)
        return codes_R

    @torch.inference_mode()
    def features(self, mel_SMF: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """Continuous features [R, 4 · 1280] of each segment: Whisper over all 30 s, four frames side by side."""
        frames_STD: Tensor = self.whisper(mel_SMF).last_hidden_state
        return [
            frames_TD[: count * self.stacked].reshape(count, -1)
            for frames_TD, count in zip(frames_STD, rows, strict=True)
        ]

    def stored_names(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Each parameter's name, the folder of its file, and the names it may have there."""
        for name, _ in self.named_parameters():
            part = next(part for part in STORED if name.startswith(part))
            folder, prefixes = STORED[part]
            yield name, folder, tuple(prefix + name.removeprefix(part) for prefix in prefixes)

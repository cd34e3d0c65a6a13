"""Kimi-Audio's weights as one module: speech tokenizer, Whisper encoder, adaptor, 28 Qwen2 layers, text head.

The speech branch (six MIMO layers and the audio head) feeds nothing back into the text path and is left out. Knows the
name of each weight in the published files; knows no prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import Qwen2Model
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from esn_dist.models.kimi_audio.config import SPEECH_TOKENIZER, WHISPER, KimiConfig
from esn_dist.models.kimi_audio.speech_tokenizer import SpeechTokenizer

# Submodule → folder of its file, and the prefixes that its names may have there (several spellings circulate).
STORED: dict[str, tuple[str, tuple[str, ...]]] = {
    "decoder.": ("", ("model.",)),
    "head.": ("", ("lm_head.",)),
    "adaptor.": ("", ("model.vq_adaptor.layers.",)),
    "whisper.": (WHISPER, ("model.encoder.", "encoder.")),
    "speech_tokenizer.": (SPEECH_TOKENIZER, ("", "model.encoder.")),
}


class KimiNetwork(nn.Module):
    """Everything that text output needs."""

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
    def codes(self, mel_WMF: Tensor, valid_WF: Tensor) -> Tensor:
        """Discrete codes [R] of the windows of one clip."""
        codes_R: Tensor = self.speech_tokenizer(mel_WMF, valid_WF)
        return codes_R

    @torch.inference_mode()
    def features(self, mel_WMF: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Continuous features [R, 4·E] of each window: Whisper over all 30 s, four positions concatenated.

        Args:
            counts: R of each window.
        """
        encoded_WPE: Tensor = self.whisper(mel_WMF).last_hidden_state
        return [
            encoded_PE[: count * self.stacked].reshape(count, -1)
            for encoded_PE, count in zip(encoded_WPE, counts, strict=True)
        ]

    def stored_names(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Each parameter's name, the folder of its file, and the names it may have there."""
        for name, _ in self.named_parameters():
            submodule = next(submodule for submodule in STORED if name.startswith(submodule))
            folder, prefixes = STORED[submodule]
            yield name, folder, tuple(prefix + name.removeprefix(submodule) for prefix in prefixes)

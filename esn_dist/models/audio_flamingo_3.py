"""Audio Flamingo 3, not thinking: transformers' own class, audio in 30 s windows, `<sound>` before the question.

The thinking variant is a separate adapter in the checkpoint's `think/` folder, which is never loaded. Inputs equal the
official processor's, which cuts a clip longer than 10 minutes with a warning; here it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AudioFlamingo3ForConditionalGeneration, WhisperFeatureExtractor

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM, ClipTooLong, ClipTooShort, Prompt, runs_on
from esn_dist.models.chat import chat_prompt, conversation
from esn_dist.models.loading import load_tokenizer, load_transformers
from esn_dist.models.placement import Placement
from esn_dist.models.source import DEFAULTS

LONGEST = 600  # seconds


class AudioFlamingo3(AudioLM):
    """Adapter around a loaded `AudioFlamingo3ForConditionalGeneration`."""

    settings: ClassVar = DEFAULTS["audio-flamingo-3"]

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, settings: Mapping[str, str] = settings) -> None:
        if settings["order"] != "audio, text":
            raise UserError(
                f"order {settings['order']!r}: Audio Flamingo 3's template puts the clip first whatever is asked",
                expected="'audio, text'",
            )
        self.model = model
        self.decoder = model.model.language_model
        self.head = model.lm_head
        self.embedding = model.model.language_model.embed_tokens
        self.tokenizer = tokenizer
        self.extractor = extractor
        self.system_prompt, self.order = settings["system_prompt"], settings["order"]
        self.placeholder: int = model.config.audio_token_id
        self.stop_ids = tuple(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))

    @classmethod
    def load(
        cls, source: Path, dtype: torch.dtype, placement: Placement, settings: Mapping[str, str]
    ) -> AudioFlamingo3:
        model = load_transformers(AudioFlamingo3ForConditionalGeneration, source, dtype, placement)
        return cls(model, load_tokenizer(source), WhisperFeatureExtractor.from_pretrained(source), settings)

    @torch.inference_mode()
    def encode(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        rate = self.extractor.sampling_rate
        if len(wave_S) > LONGEST * rate:
            raise ClipTooLong(f"{len(wave_S) / rate:.1f} s; the model hears {LONGEST} s at most")
        mel_WMF, mask_WF = self.mel(wave_S)
        device = runs_on(self.model.model.audio_tower)
        output = self.model.get_audio_features(
            mel_WMF.to(device, self.dtype), input_features_mask=mask_WF.to(device), return_dict=True
        )
        rows_RD: Tensor = output.pooler_output
        if not len(rows_RD):
            raise ClipTooShort(f"{len(wave_S)} samples give {int(mask_WF.sum())} mel frames and no audio token")
        return rows_RD

    def mel(self, wave_S: npt.NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        """Log-mel [W, M, 3000] of W windows of 30 s, the last one filled with silence, and their valid frames."""
        window = self.extractor.n_samples
        windows = [wave_S[start : start + window] for start in range(0, len(wave_S), window)]
        features = self.extractor(
            windows, sampling_rate=self.extractor.sampling_rate, padding="max_length", return_attention_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        return features["input_features"], features["attention_mask"]

    def prompt(self, rows: int, text: str) -> Prompt:
        messages = conversation(self.system_prompt, text, self.order)
        return chat_prompt(self.tokenizer, messages, self.placeholder, rows)

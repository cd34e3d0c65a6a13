"""Audio Flamingo 3 without thinking: transformers' own class, audio in 30 s windows, `<sound>` before the question.

The thinking variant is a LoRA adapter in the checkpoint's `think/` folder, which is never loaded. Inputs equal the
official processor's. That cuts a clip longer than 10 minutes with a warning; here such a clip is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AudioFlamingo3ForConditionalGeneration, WhisperFeatureExtractor

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM, ClipTooLong, ClipTooShort, Prompt, execution_device
from esn_dist.models.chat_prompt import chat_prompt, conversation
from esn_dist.models.fixed_batches import MASKED, attention_implementation, encode_in_fixed_batches
from esn_dist.models.from_pretrained import load_tokenizer, load_transformers
from esn_dist.models.placement import Placement
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS
from esn_dist.transfer import to_device_async

MAX_SECONDS = 600  # seconds
Windows = tuple[Tensor, Tensor]
"""Log-mel [W, M, 3000] of a clip's windows, and their valid frames [W, 3000]."""


class AudioFlamingo3(AudioLM[Windows]):
    """Adapter around a loaded `AudioFlamingo3ForConditionalGeneration`."""

    settings: ClassVar = BUILTIN_ADAPTERS["audio-flamingo-3"].settings
    GPU_ENCODER_BATCH: ClassVar = 8  # windows of 30 s

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, settings: Mapping[str, str] = settings) -> None:
        if settings["order"] != "audio, text":
            raise UserError(
                f"order {settings['order']!r}: Audio Flamingo 3's template always puts the clip first",
                expected="'audio, text'",
            )
        self.model = model
        self.tower = model.model.audio_tower
        self.encoder_batch = self.GPU_ENCODER_BATCH if execution_device(self.tower).type == "cuda" else 0
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

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> Windows:
        rate = self.extractor.sampling_rate
        if len(wave_S) > MAX_SECONDS * rate:
            raise ClipTooLong(f"{len(wave_S) / rate:.1f} s; the model takes {MAX_SECONDS} s at most")
        mel_WMF, valid_WF = self.mel(wave_S)
        if not any(map(self._count, valid_WF)):
            raise ClipTooShort(f"{len(wave_S)} samples give {int(valid_WF.sum())} mel frames and no audio token")
        return mel_WMF, valid_WF

    @torch.inference_mode()
    def encode_audio(self, input_features: Iterable[Windows]) -> list[Tensor]:
        if not self.encoder_batch:
            return [self._encode_one(windows) for windows in input_features]
        clips = (list(zip(*windows, strict=True)) for windows in input_features)
        with attention_implementation(self.tower.config, MASKED):
            encoded = encode_in_fixed_batches(clips, self.encoder_batch, self._encode_windows)
        return [torch.cat(windows) for windows in encoded]

    def _encode_one(self, windows: Windows) -> Tensor:
        """Audio embeddings [R, D] of one clip, by the official method."""
        (mel_WMF, valid_WF), device = windows, execution_device(self.tower)
        output = self.model.get_audio_features(
            mel_WMF.to(device, self.dtype), input_features_mask=valid_WF.to(device), return_dict=True
        )
        embeds_RD: Tensor = output.pooler_output
        return embeds_RD

    def _encode_windows(self, windows: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Audio embeddings [R, D] of each window.

        Does what `get_audio_features` does, but counts audio tokens on the host, without a wait for the device.
        """
        mels, valid = zip(*windows, strict=True)
        device = execution_device(self.tower)
        encoded_WPE = self.tower(
            to_device_async(torch.stack(mels).to(self.dtype), device),
            input_features_mask=to_device_async(torch.stack(valid), device),
        ).last_hidden_state
        embeds_WPD = self.model.model.multi_modal_projector(encoded_WPE)
        return [embeds_PD[: self._count(valid_F)] for embeds_PD, valid_F in zip(embeds_WPD, valid, strict=True)]

    def _count(self, valid_F: Tensor) -> int:
        """Audio tokens of a window with the valid frames `valid_F`."""
        return max(0, int(self.tower._get_feat_extract_output_lengths(valid_F.sum())[1]))

    def mel(self, wave_S: npt.NDArray[np.float32]) -> Windows:
        """Log-mel [W, M, 3000] of W windows of 30 s, the last one filled with silence, and their valid frames."""
        window = self.extractor.n_samples
        windows = [wave_S[start : start + window] for start in range(0, len(wave_S), window)]
        features = self.extractor(
            windows, sampling_rate=self.extractor.sampling_rate, padding="max_length", return_attention_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        return features["input_features"], features["attention_mask"]

    def prompt(self, audio_tokens: int, text: str) -> Prompt:
        messages = conversation(self.system_prompt, text, self.order)
        return chat_prompt(self.tokenizer, messages, self.placeholder, audio_tokens)

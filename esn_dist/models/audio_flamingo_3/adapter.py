"""Audio Flamingo 3, not thinking: transformers' own class, audio in 30 s windows, `<sound>` before the question.

The thinking variant is a separate adapter in the checkpoint's `think/` folder, which is never loaded. Inputs equal the
official processor's, which cuts a clip longer than 10 minutes with a warning; here it is refused.
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
from esn_dist.models.fixed_batches import PADDED, attention_implementation, encode_in_fixed_batches
from esn_dist.models.from_pretrained import load_tokenizer, load_transformers
from esn_dist.models.placement import Placement
from esn_dist.models.resolve import DEFAULTS
from esn_dist.transfer import to_device_async

LONGEST = 600  # seconds
Windows = tuple[Tensor, Tensor]
"""Log-mel [W, M, 3000] of a clip's windows, and their valid frames [W, 3000]."""


class AudioFlamingo3(AudioLM):
    """Adapter around a loaded `AudioFlamingo3ForConditionalGeneration`."""

    settings: ClassVar = DEFAULTS["audio-flamingo-3"]
    GPU_ENCODER_BATCH: ClassVar = 8  # windows of 30 s

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, settings: Mapping[str, str] = settings) -> None:
        if settings["order"] != "audio, text":
            raise UserError(
                f"order {settings['order']!r}: Audio Flamingo 3's template puts the clip first whatever is asked",
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
        if len(wave_S) > LONGEST * rate:
            raise ClipTooLong(f"{len(wave_S) / rate:.1f} s; the model hears {LONGEST} s at most")
        mel_WMF, mask_WF = self.mel(wave_S)
        if not any(map(self._rows, mask_WF)):
            raise ClipTooShort(f"{len(wave_S)} samples give {int(mask_WF.sum())} mel frames and no audio token")
        return mel_WMF, mask_WF

    @torch.inference_mode()
    def encode_audio(self, heard: Iterable[Windows]) -> list[Tensor]:
        if not self.encoder_batch:
            return [self._alone(windows) for windows in heard]
        clips = (list(zip(*windows, strict=True)) for windows in heard)
        with attention_implementation(self.tower.config, PADDED):
            return [torch.cat(rows) for rows in encode_in_fixed_batches(clips, self.encoder_batch, self._together)]

    def _alone(self, windows: Windows) -> Tensor:
        """Rows [R, D] of one clip, as officially."""
        (mel_WMF, mask_WF), device = windows, execution_device(self.tower)
        output = self.model.get_audio_features(
            mel_WMF.to(device, self.dtype), input_features_mask=mask_WF.to(device), return_dict=True
        )
        rows_RD: Tensor = output.pooler_output
        return rows_RD

    def _together(self, windows: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Rows [R, D] of each window: what `get_audio_features` does, but without asking the device how many."""
        mels, masks = zip(*windows, strict=True)
        device = execution_device(self.tower)
        frames_GTD = self.tower(
            to_device_async(torch.stack(mels).to(self.dtype), device),
            input_features_mask=to_device_async(torch.stack(masks), device),
        ).last_hidden_state
        rows_GRD = self.model.model.multi_modal_projector(frames_GTD)
        return [rows_RD[: self._rows(mask_F)] for rows_RD, mask_F in zip(rows_GRD, masks, strict=True)]

    def _rows(self, mask_F: Tensor) -> int:
        """Audio rows of a window with valid frames `mask_F`."""
        return max(0, int(self.tower._get_feat_extract_output_lengths(mask_F.sum())[1]))

    def mel(self, wave_S: npt.NDArray[np.float32]) -> Windows:
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

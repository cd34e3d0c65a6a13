"""Qwen2.5-Omni's Thinker: transformers' own class, loaded and placed by accelerate, without its vision tower.

The official processor needs torchvision and pads every clip to 300 s; inputs are built here from the tokenizer, the
Whisper feature extractor and the chat template, equal to the processor's. Positions of an audio-only prompt are a plain
range on all three rotary axes, so the decoder is called directly and never through the stateful top-level forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Qwen2_5OmniThinkerForConditionalGeneration, WhisperFeatureExtractor

from esn_dist.models.audio_lm import AudioLM, ClipTooLong, ClipTooShort, Prompt, execution_device
from esn_dist.models.chat_prompt import chat_prompt, conversation
from esn_dist.models.fixed_batches import PACKED, attention_implementation, encode_in_fixed_batches
from esn_dist.models.from_pretrained import load_tokenizer, load_transformers
from esn_dist.models.placement import Placement
from esn_dist.models.resolve import DEFAULTS
from esn_dist.transfer import to_device_async

HOP = 160  # samples per mel frame at 16 kHz
# Zeros after the clip. The last frame then sees silence, not the STFT's reflection; and a product of few frames takes
# another kernel, which rounds otherwise: 640 zeros left clips of under 0.1 s one bit away from the official features.
TAIL = 3_200


class Qwen25Omni(AudioLM):
    """Adapter around a loaded `Qwen2_5OmniThinkerForConditionalGeneration`."""

    settings: ClassVar = DEFAULTS["qwen2.5-omni"]
    GPU_ENCODER_BATCH: ClassVar = 128  # chunks of 2 s, beyond which the tower does not attend: a block of clips of 8 s

    def __init__(self, thinker: Any, tokenizer: Any, extractor: Any, settings: Mapping[str, str] = settings) -> None:
        self.thinker = thinker
        self.tower = thinker.model.audio_tower
        self.chunk: int = 2 * self.tower.config.n_window  # mel frames
        self.encoder_batch = self.GPU_ENCODER_BATCH if execution_device(self.tower).type == "cuda" else 0
        self.decoder = thinker.model.language_model
        self.head = thinker.lm_head
        self.embedding = thinker.model.language_model.embed_tokens
        self.tokenizer = tokenizer
        self.extractor = extractor
        self.system_prompt, self.order = settings["system_prompt"], settings["order"]
        self.placeholder: int = thinker.config.audio_token_id
        self.stop_ids = tuple(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))

    @classmethod
    def load(cls, source: Path, dtype: torch.dtype, placement: Placement, settings: Mapping[str, str]) -> Qwen25Omni:
        thinker = load_transformers(
            Qwen2_5OmniThinkerForConditionalGeneration, source, dtype, placement, unneeded=("model.visual.",)
        )
        del thinker.model.visual  # never used by audio-only prompts; frees 1.3 GB of the 7B model
        tokenizer = load_tokenizer(source)
        extractor = WhisperFeatureExtractor.from_pretrained(source)
        return cls(thinker, tokenizer, extractor, settings)

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        longest = self.extractor.chunk_length * self.extractor.sampling_rate
        if len(wave_S) > longest:
            seconds = len(wave_S) / self.extractor.sampling_rate
            raise ClipTooLong(f"{seconds:.1f} s; the model hears {self.extractor.chunk_length} s at most")
        mel_MF = self.mel(wave_S)
        frames = mel_MF.shape[1]
        if audio_rows(frames) < 1:
            raise ClipTooShort(f"{len(wave_S)} samples give {frames} mel frames and no audio token")
        return mel_MF

    @torch.inference_mode()
    def encode_audio(self, heard: Iterable[Tensor]) -> list[Tensor]:
        if not self.encoder_batch:
            return [self._alone(mel_MF) for mel_MF in heard]
        clips = (mel_MF.split(self.chunk, dim=1) for mel_MF in heard)
        with attention_implementation(self.tower.config, PACKED):
            return [torch.cat(rows) for rows in encode_in_fixed_batches(clips, self.encoder_batch, self._together)]

    def _alone(self, mel_MF: Tensor) -> Tensor:
        """Rows [R, D] of one clip, by the tower as it is."""
        lens = torch.tensor([mel_MF.shape[1]], device=execution_device(self.tower))
        after_cnn = (lens - 1) // 2 + 1
        output = self.tower(mel_MF.to(lens.device, self.dtype), feature_lens=lens, aftercnn_lens=after_cnn)
        rows_RD: Tensor = output.last_hidden_state
        return rows_RD

    def _together(self, chunks: Sequence[Tensor]) -> list[Tensor]:
        """Rows [R, D] of each chunk [M, F]: all have the same number of positions, of which a short one's last are not
        seen. Chunks have an even number of positions, so the pairs that make a row never straddle two."""
        device, positions = execution_device(self.tower), self.chunk // 2
        mel_GMF = torch.stack([pad(mel_MF, (0, self.chunk - mel_MF.shape[1])) for mel_MF in chunks])
        frames_G = torch.tensor([mel_MF.shape[1] for mel_MF in chunks])
        seen_GP = torch.arange(positions) < (frames_G[:, None] + 1) // 2
        at_L = torch.arange(len(chunks) * positions)
        output = self.tower(
            padded_feature=to_device_async(mel_GMF.to(self.dtype), device),
            chunk_lengths=to_device_async(frames_G, device),
            valid_indices=to_device_async(at_L, device),
            pool_indices=to_device_async(at_L[::2].contiguous(), device),
            cu_seqlens=to_device_async(torch.arange(0, len(at_L) + 1, positions, dtype=torch.int32), device),
            max_seqlen=positions,
            seen_G11P=to_device_async(seen_GP[:, None, None], device),
        )
        rows_GRD = output.last_hidden_state.unflatten(0, (len(chunks), -1))
        return [rows_RD[: max(0, audio_rows(mel.shape[1]))] for rows_RD, mel in zip(rows_GRD, chunks, strict=True)]

    def mel(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        """Log-mel [M, F] float32 with F = ceil(S / 160), equal to the official processor's valid frames."""
        padded = np.concatenate([wave_S, np.zeros(TAIL, np.float32)])
        features = self.extractor(
            padded, sampling_rate=self.extractor.sampling_rate, padding="longest", truncation=False, return_tensors="pt"
        )
        mel_MF: Tensor = features["input_features"][0, :, : ceil(len(wave_S) / HOP)]
        return mel_MF

    def prompt(self, rows: int, text: str) -> Prompt:
        messages = conversation(self.system_prompt, text, self.order)
        return chat_prompt(self.tokenizer, messages, self.placeholder, rows)


def audio_rows(frames: int) -> int:
    """Audio tokens of `frames` mel frames: two strided convolutions' worth, 25 per second."""
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1

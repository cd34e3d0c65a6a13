"""Qwen2.5-Omni's Thinker: transformers' own class, without its vision tower.

The official processor needs torchvision and pads every clip to 300 s. Here the tokenizer, the Whisper feature extractor
and the chat template make inputs that equal the processor's. Without images, positions are the same range on all three
rotary axes. So the decoder is called directly, and never through the stateful top-level forward.
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
from esn_dist.models.fixed_batches import EQUAL_CHUNKS, attention_implementation, encode_in_fixed_batches
from esn_dist.models.from_pretrained import load_tokenizer, load_transformers
from esn_dist.models.placement import Placement
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS
from esn_dist.transfer import to_device_async

HOP = 160  # samples per mel frame at 16 kHz
# Zeros after the clip. Without them the STFT would reflect the clip's end into its last frame. With fewer of them, a
# product of few frames uses another kernel, which rounds differently: 640 zeros left clips of under 0.1 s one bit away
# from the official features.
SILENCE_SAMPLES = 3_200


class Qwen25Omni(AudioLM[Tensor]):
    """Adapter around a loaded `Qwen2_5OmniThinkerForConditionalGeneration`."""

    settings: ClassVar = BUILTIN_ADAPTERS["qwen2.5-omni"].settings
    unneeded_weights: ClassVar = ("model.visual.",)
    GPU_ENCODER_BATCH: ClassVar = 128  # chunks of 2 s, in which the tower attends: about 32 clips of 8 s

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
            Qwen2_5OmniThinkerForConditionalGeneration, source, dtype, placement, cls.unneeded_weights
        )
        del thinker.model.visual  # never used by audio-only prompts; frees 1.3 GB of the 7B model
        tokenizer = load_tokenizer(source)
        extractor = WhisperFeatureExtractor.from_pretrained(source)
        return cls(thinker, tokenizer, extractor, settings)

    @classmethod
    def transformers_class(cls, config: Mapping[str, Any], where: str) -> Any:
        return Qwen2_5OmniThinkerForConditionalGeneration  # the published folder names the whole model

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        longest = self.extractor.chunk_length * self.extractor.sampling_rate
        if len(wave_S) > longest:
            seconds = len(wave_S) / self.extractor.sampling_rate
            raise ClipTooLong(f"{seconds:.1f} s; the model takes {self.extractor.chunk_length} s at most")
        mel_MF = self.mel(wave_S)
        frames = mel_MF.shape[1]
        if audio_token_count(frames) < 1:
            raise ClipTooShort(f"{len(wave_S)} samples give {frames} mel frames and no audio token")
        return mel_MF

    @torch.inference_mode()
    def encode_audio(self, input_features: Iterable[Tensor]) -> list[Tensor]:
        if not self.encoder_batch:
            return [self._encode_one(mel_MF) for mel_MF in input_features]
        clips = (mel_MF.split(self.chunk, dim=1) for mel_MF in input_features)
        with attention_implementation(self.tower.config, EQUAL_CHUNKS):
            encoded = encode_in_fixed_batches(clips, self.encoder_batch, self._encode_chunks)
        return [torch.cat(chunks) for chunks in encoded]

    def _encode_one(self, mel_MF: Tensor) -> Tensor:
        """Audio embeddings [R, D] of one clip, by the tower as published."""
        frames_1 = torch.tensor([mel_MF.shape[1]], device=execution_device(self.tower))
        after_cnn_1 = (frames_1 - 1) // 2 + 1
        output = self.tower(mel_MF.to(frames_1.device, self.dtype), feature_lens=frames_1, aftercnn_lens=after_cnn_1)
        embeds_RD: Tensor = output.last_hidden_state
        return embeds_RD

    def _encode_chunks(self, chunks: Sequence[Tensor]) -> list[Tensor]:
        """Audio embeddings [R, D] of each chunk [M, F].

        Every chunk is padded to P positions, of which the last ones of a short chunk are masked. P is even, so the
        pairs of positions that are pooled never cross the border of a chunk.
        """
        device, positions = execution_device(self.tower), self.chunk // 2
        # 1. Mels [C, M, F], padded at the end, and the valid frames [C] of each.
        mel_CMF = torch.stack([pad(mel_MF, (0, self.chunk - mel_MF.shape[1])) for mel_MF in chunks])
        frames_C = torch.tensor([mel_MF.shape[1] for mel_MF in chunks])
        # 2. Valid positions [C, P] after the convolution of stride 2.
        valid_CP = torch.arange(positions) < (frames_C[:, None] + 1) // 2
        # 3. The tower takes all chunks as one row of C·P positions; every second one starts a pooled pair.
        index = torch.arange(len(chunks) * positions)
        output = self.tower(
            padded_feature=to_device_async(mel_CMF.to(self.dtype), device),
            chunk_lengths=to_device_async(frames_C, device),
            valid_indices=to_device_async(index, device),
            pool_indices=to_device_async(index[::2].contiguous(), device),
            cu_seqlens=to_device_async(torch.arange(0, len(index) + 1, positions, dtype=torch.int32), device),
            max_seqlen=positions,
            valid_C11P=to_device_async(valid_CP[:, None, None], device),
        )
        # 4. Embeddings [C, P / 2, D], of which each chunk keeps those of its own frames.
        embeds_CRD = output.last_hidden_state.unflatten(0, (len(chunks), -1))
        counts = (max(0, audio_token_count(mel_MF.shape[1])) for mel_MF in chunks)
        return [embeds_RD[:count] for embeds_RD, count in zip(embeds_CRD, counts, strict=True)]

    def mel(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        """Log-mel [M, F] float32 with F = ceil(S / 160), equal to the official processor's valid frames."""
        padded = np.concatenate([wave_S, np.zeros(SILENCE_SAMPLES, np.float32)])
        features = self.extractor(
            padded, sampling_rate=self.extractor.sampling_rate, padding="longest", truncation=False, return_tensors="pt"
        )
        mel_MF: Tensor = features["input_features"][0, :, : ceil(len(wave_S) / HOP)]
        return mel_MF

    def prompt(self, audio_tokens: int, text: str) -> Prompt:
        messages = conversation(self.system_prompt, text, self.order)
        return chat_prompt(self.tokenizer, messages, self.placeholder, audio_tokens)


def audio_token_count(frames: int) -> int:
    """Audio tokens of `frames` mel frames after convolution and pooling, both of stride 2: 25 per second."""
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1

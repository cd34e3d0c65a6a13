"""Qwen2.5-Omni's Thinker: transformers' own class, loaded and placed by accelerate, without its vision tower.

The official processor needs torchvision and pads every clip to 300 s; inputs are built here from the tokenizer, the
Whisper feature extractor and the chat template, equal to the processor's. Positions of an audio-only prompt are a plain
range on all three rotary axes, so the decoder is called directly and never through the stateful top-level forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2_5OmniThinkerForConditionalGeneration, WhisperFeatureExtractor
from transformers.utils import logging

from esn_dist.models.audio_lm import EXCLUDED, AudioLM, ClipTooLong, ClipTooShort, Part, Prompt

HOP = 160  # samples per mel frame at 16 kHz
# Zeros after the clip. The last frame then sees silence, not the STFT's reflection; and a product of few frames takes
# another kernel, which rounds otherwise: 640 zeros left clips of under 0.1 s one bit away from the official features.
TAIL = 3_200


class Qwen25Omni(AudioLM):
    """Adapter around a loaded `Qwen2_5OmniThinkerForConditionalGeneration`."""

    settings: ClassVar = {"system_prompt": "You are a helpful assistant.", "order": "audio, text"}

    def __init__(self, thinker: Any, tokenizer: Any, extractor: WhisperFeatureExtractor, system_prompt: str) -> None:
        self.thinker = thinker
        self.tower = thinker.model.audio_tower
        self.decoder = thinker.model.language_model
        self.head = thinker.lm_head
        self.embedding = thinker.model.language_model.embed_tokens
        self.tokenizer = tokenizer
        self.extractor = extractor
        self.system_prompt = system_prompt
        self.placeholder: int = thinker.config.audio_token_id
        self.stop_ids = tuple(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
        self.special = frozenset(i for i, token in tokenizer.added_tokens_decoder.items() if token.special)

    @classmethod
    def load(
        cls,
        source: Path,
        *,
        dtype: torch.dtype,
        device_map: dict[str, str | int],
        system_prompt: str = settings["system_prompt"],
    ) -> Qwen25Omni:
        """Load a checkpoint folder; safetensors only, no remote code.

        Args:
            device_map: explicit map given to accelerate (`{"": "cpu"}`, `{"": 0}`, or per module); "auto" would do
                nothing under a launcher's environment variables.
        """
        with _quiet():
            loaded: Any = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
                source, dtype=dtype, device_map=device_map, use_safetensors=True,
                trust_remote_code=False, output_loading_info=True,
            )  # fmt: skip
        thinker, report = loaded
        missing = [key for key in report["missing_keys"] if not key.startswith("model.visual.")]
        if missing:
            raise ValueError(f"{source}: weights are missing from the checkpoint: {', '.join(sorted(missing)[:5])} ...")
        del thinker.model.visual  # never used by audio-only prompts; frees 1.3 GB of the 7B model
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        extractor = WhisperFeatureExtractor.from_pretrained(source)
        return cls(thinker.eval(), tokenizer, extractor, system_prompt)

    @torch.inference_mode()
    def encode(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        longest = self.extractor.chunk_length * self.extractor.sampling_rate
        if len(wave_S) > longest:
            seconds = len(wave_S) / self.extractor.sampling_rate
            raise ClipTooLong(f"{seconds:.1f} s; the model hears {self.extractor.chunk_length} s at most")
        mel_MF = self.mel(wave_S)
        frames = mel_MF.shape[1]
        if audio_rows(frames) < 1:
            raise ClipTooShort(f"{len(wave_S)} samples give {frames} mel frames and no audio token")
        weight = self.tower.conv1.weight
        lens = torch.tensor([frames], device=weight.device)
        after_cnn = (lens - 1) // 2 + 1
        output = self.tower(mel_MF.to(weight), feature_lens=lens, aftercnn_lens=after_cnn)
        rows_RD: Tensor = output.last_hidden_state
        return rows_RD

    def mel(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        """Log-mel [M, F] float32 with F = ceil(S / 160), equal to the official processor's valid frames."""
        padded = np.concatenate([wave_S, np.zeros(TAIL, np.float32)])
        features = self.extractor(
            padded, sampling_rate=self.extractor.sampling_rate, padding="longest", truncation=False, return_tensors="pt"
        )
        mel_MF: Tensor = features["input_features"][0, :, : ceil(len(wave_S) / HOP)]
        return mel_MF

    def prompt(self, rows: int, text: str) -> Prompt:
        conversation = [
            {"role": "system", "content": [{"type": "text", "text": self.system_prompt}]},
            {"role": "user", "content": [{"type": "audio", "audio": ""}, {"type": "text", "text": text}]},
        ]
        chat: str = self.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        ids = self.tokenizer.encode(chat, add_special_tokens=False)
        at = ids.index(self.placeholder)
        ids_L = np.array(ids[:at] + [self.placeholder] * rows + ids[at + 1 :], np.int64)
        part_L = np.array([EXCLUDED if i in self.special else Part.TEXT for i in ids_L.tolist()], np.int8)
        part_L[at : at + rows] = Part.AUDIO
        return Prompt(ids_L, part_L)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and its report of the vision weights that are meant to be absent."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
        logging.set_verbosity(before)


def audio_rows(frames: int) -> int:
    """Audio tokens of `frames` mel frames: two strided convolutions' worth, 25 per second."""
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1

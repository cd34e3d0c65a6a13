"""Kimi-Audio behind the protocol: an audio row is (E[code] + adaptor(feature)) · √2, and E[blank] is added everywhere.

The order of the user's turn is text, then audio, as in the official demo: only then does the token follow that asks
for an answer in text. There is no system role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM, Prompt, execution_device
from esn_dist.models.fixed_batches import encode_in_fixed_batches
from esn_dist.models.kimi_audio.audio import rows, segments, tokenizer_mel, whisper_mel
from esn_dist.models.kimi_audio.config import WHISPER, KimiConfig, read_kimi
from esn_dist.models.kimi_audio.prompt import merged, streams
from esn_dist.models.kimi_audio.tokens import TextTokens
from esn_dist.models.kimi_audio.weights import load_network, speech_tokenizer_folder
from esn_dist.models.placement import Placement
from esn_dist.models.resolve import DEFAULTS
from esn_dist.transfer import to_device_async

Segment = tuple[Tensor, int]
"""Log-mel [1, M, 3000] of 30 s, and the segment's rows."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the two encoders take of one clip.

    Attributes:
        mel_SMF, valid_SF: the speech tokenizer's.
        segments: Whisper's.
    """

    mel_SMF: Tensor
    valid_SF: Tensor
    segments: tuple[Segment, ...]


class KimiAudio(AudioLM):
    """Adapter around a loaded `KimiNetwork`.

    Args:
        extractors: the speech tokenizer's and Whisper's.
    """

    settings: ClassVar = DEFAULTS["kimi-audio"]
    GPU_ENCODER_BATCH: ClassVar = (
        8  # segments of 30 s through Whisper; the speech tokenizer takes each clip at its own length
    )

    def __init__(
        self,
        network: Any,
        config: KimiConfig,
        tokenizer: Any,
        extractors: tuple[Any, Any],
        settings: Mapping[str, str] = settings,
    ) -> None:
        if settings["system_prompt"]:
            raise UserError("Kimi-Audio has no system role", expected="system_prompt: '' (the default)")
        self.network, self.config = network, config
        self.encoder_batch = self.GPU_ENCODER_BATCH if execution_device(network.whisper).type == "cuda" else 0
        self.decoder, self.head, self.embedding = network.decoder, network.head, network.decoder.embed_tokens
        self.tokenizer = tokenizer
        self.extractors = extractors
        self.order = settings["order"]
        self.stop_ids = (config.specials.text_end,)

    @classmethod
    def load(cls, source: Path, dtype: torch.dtype, placement: Placement, settings: Mapping[str, str]) -> KimiAudio:
        glm = speech_tokenizer_folder(source)
        config = read_kimi(source, glm)
        tokenizer = TextTokens(source, config.specials.base)
        extractors = tuple(WhisperFeatureExtractor.from_pretrained(place) for place in (glm, source / WHISPER))
        network = load_network(config, source, glm, dtype, placement)
        return cls(network, config, tokenizer, (extractors[0], extractors[1]), settings)

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> Heard:
        pieces = segments(wave_S)
        mels = [(whisper_mel(self.extractors[1], piece), rows(len(piece))) for piece in pieces]
        return Heard(*tokenizer_mel(self.extractors[0], pieces), tuple(mels))

    @torch.inference_mode()
    def encode_audio(self, heard: Iterable[Heard]) -> list[Tensor]:
        codes = list[Tensor]()

        def in_turn() -> Iterator[Heard]:
            for one in heard:
                codes.append(self.codes(one))
                yield one

        features = self.features(in_turn())
        return [self._rows(codes_R, features_RD) for codes_R, features_RD in zip(codes, features, strict=True)]

    def codes(self, heard: Heard) -> Tensor:
        """Discrete codes [R] of a clip."""
        device = execution_device(self.network.speech_tokenizer)
        codes_R: Tensor = self.network.codes(to_device_async(heard.mel_SMF, device), heard.valid_SF)
        return codes_R

    def features(self, heard: Iterable[Heard]) -> list[Tensor]:
        """Continuous features [R, 5120] of each clip, as many as codes."""
        device = execution_device(self.network.whisper)

        def encoded(pieces: Sequence[Segment]) -> list[Tensor]:
            mel_SMF = torch.cat([mel_1MF for mel_1MF, _ in pieces])
            found: list[Tensor] = self.network.features(
                to_device_async(mel_SMF.to(self.dtype), device), [r for _, r in pieces]
            )
            return found

        return list(
            map(torch.cat, encode_in_fixed_batches((one.segments for one in heard), self.encoder_batch or 1, encoded))
        )

    def _rows(self, codes_R: Tensor, features_RD: Tensor) -> Tensor:
        token_RD = self.embedding((codes_R + self.config.audio_offset).to(self.device))
        heard_RD = self.network.adaptor(features_RD.to(execution_device(self.network.adaptor))).to(token_RD)
        # The root is taken in the compute dtype, as officially: 1.4140625 in bfloat16.
        rows_RD: Tensor = (token_RD + heard_RD) * torch.tensor(2.0, dtype=self.dtype).sqrt()
        return rows_RD

    def prompt(self, rows: int, text: str) -> Prompt:
        heard = [self.config.audio_offset] * rows  # stand-ins: their embeddings are overwritten by the audio rows
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return merged(self.config.specials, streams(self.config.specials, ids, heard, self.order))

    @torch.no_grad()
    def embed(self, prompt: Prompt, rows_RD: Tensor) -> Tensor:
        return super().embed(prompt, rows_RD) + self._blank_D()

    def embed_tokens(self, token_B: Tensor) -> Tensor:
        return super().embed_tokens(token_B) + self._blank_D()

    def _blank_D(self) -> Tensor:
        # Filled by the device itself: a copy from here would wait for all that it was asked before.
        blank_D: Tensor = self.embedding(torch.full((), self.config.specials.blank, device=self.device))
        return blank_D

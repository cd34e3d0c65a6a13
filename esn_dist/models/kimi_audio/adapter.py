"""Kimi-Audio behind the protocol: an audio embedding is (E[code] + adaptor(feature)) · √2.

The embedding of the blank token is added at every position. The user's turn is text, then audio, as in the official
demo: only then a token follows that asks for an answer in text. There is no system role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2Model, WhisperFeatureExtractor

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM, Prompt, execution_device
from esn_dist.models.checkpoint import StoredWeights
from esn_dist.models.fixed_batches import encode_in_fixed_batches
from esn_dist.models.kimi_audio.audio import tokenizer_mel, whisper_mel, window_token_count, windows
from esn_dist.models.kimi_audio.config import ARCHITECTURE, COPIED, WHISPER, KimiConfig, read_kimi
from esn_dist.models.kimi_audio.prompt import merge_streams, streams
from esn_dist.models.kimi_audio.tokens import TextTokens
from esn_dist.models.kimi_audio.weights import checkpoint_weights, load_network, speech_tokenizer_folder
from esn_dist.models.placement import Placement
from esn_dist.models.structure import ModelStructure, inspect_modules
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS
from esn_dist.transfer import to_device_async

WhisperWindow = tuple[Tensor, int]
"""Log-mel [1, M, 3000] of 30 s, and the window's audio tokens."""


@dataclass(frozen=True, slots=True)
class InputFeatures:
    """Inputs of the two encoders for one clip.

    Attributes:
        mel_WMF, valid_WF: the speech tokenizer's.
        whisper: Whisper's, window by window.
    """

    mel_WMF: Tensor
    valid_WF: Tensor
    whisper: tuple[WhisperWindow, ...]


class KimiAudio(AudioLM[InputFeatures]):
    """Adapter around a loaded `KimiNetwork`.

    Args:
        extractors: log-mel extractors of the speech tokenizer and of Whisper.
    """

    settings: ClassVar = BUILTIN_ADAPTERS["kimi-audio"].settings
    GPU_ENCODER_BATCH: ClassVar = 8  # windows of 30 s in Whisper; the speech tokenizer takes one clip at a time

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
        extractors = tuple(WhisperFeatureExtractor.from_pretrained(path) for path in (glm, source / WHISPER))
        network = load_network(config, source, glm, dtype, placement)
        return cls(network, config, tokenizer, (extractors[0], extractors[1]), settings)

    @classmethod
    def structure(cls, config: Mapping[str, Any], where: str, sparse: bool = False) -> ModelStructure:
        """The text path; the sizes of Whisper and of the speech tokenizer are in files of their own."""
        text = Qwen2Config(**{name: config[name] for name in COPIED if name in config})
        hidden, adaptor = text.hidden_size, int(config["kimia_adaptor_input_dim"])
        with torch.device("meta"):
            decoder = Qwen2Model(text)
            head = nn.Linear(hidden, text.vocab_size, bias=False)
            adaptor_layers = [nn.Linear(adaptor, hidden), nn.Linear(hidden, hidden), nn.LayerNorm(hidden)]
        return inspect_modules(ARCHITECTURE, nn.ModuleList([decoder, head, *adaptor_layers]), decoder)

    @classmethod
    def find_weights(cls, config: Mapping[str, Any], folder: Path) -> StoredWeights:
        return checkpoint_weights(folder)

    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> InputFeatures:
        waves = windows(wave_S)
        whisper = ((whisper_mel(self.extractors[1], wave), window_token_count(len(wave))) for wave in waves)
        return InputFeatures(*tokenizer_mel(self.extractors[0], waves), tuple(whisper))

    @torch.inference_mode()
    def encode_audio(self, input_features: Iterable[InputFeatures]) -> list[Tensor]:
        # 1. Clip by clip, as it comes in: the speech tokenizer's codes [R].
        codes = list[Tensor]()

        def with_codes() -> Iterator[InputFeatures]:
            for clip in input_features:
                codes.append(self.codes(clip))
                yield clip

        # 2. Meanwhile windows of several clips in one batch: Whisper's features [R, 4·E].
        features = self.features(with_codes())
        # 3. Both together: audio embeddings [R, D].
        return [self._combine(codes_R, features_RE) for codes_R, features_RE in zip(codes, features, strict=True)]

    def codes(self, clip: InputFeatures) -> Tensor:
        """Discrete codes [R] of a clip."""
        device = execution_device(self.network.speech_tokenizer)
        codes_R: Tensor = self.network.codes(to_device_async(clip.mel_WMF, device), clip.valid_WF)
        return codes_R

    def features(self, clips: Iterable[InputFeatures]) -> list[Tensor]:
        """Continuous features [R, 4·E] of each clip, as many as codes."""
        device = execution_device(self.network.whisper)

        def encode(windows: Sequence[WhisperWindow]) -> list[Tensor]:
            mel_WMF = to_device_async(torch.cat([mel_1MF for mel_1MF, _ in windows]).to(self.dtype), device)
            features: list[Tensor] = self.network.features(mel_WMF, [count for _, count in windows])
            return features

        encoded = encode_in_fixed_batches((clip.whisper for clip in clips), self.encoder_batch or 1, encode)
        return list(map(torch.cat, encoded))

    def _combine(self, codes_R: Tensor, features_RE: Tensor) -> Tensor:
        """Audio embeddings [R, D]: (E[code] + adaptor(feature)) · √2."""
        code_RD = self.embedding((codes_R + self.config.audio_offset).to(self.device))
        adapted_RD = self.network.adaptor(features_RE.to(execution_device(self.network.adaptor))).to(code_RD)
        # The root is taken in the compute dtype, as in the official code: 1.4140625 in bfloat16.
        embeds_RD: Tensor = (code_RD + adapted_RD) * torch.tensor(2.0, dtype=self.dtype).sqrt()
        return embeds_RD

    def prompt(self, audio_tokens: int, text: str) -> Prompt:
        placeholders = [self.config.audio_offset] * audio_tokens  # their embeddings are replaced by the audio's
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return merge_streams(self.config.specials, streams(self.config.specials, ids, placeholders, self.order))

    @torch.no_grad()
    def embed(self, prompt: Prompt, audio_embeds_RD: Tensor) -> Tensor:
        return super().embed(prompt, audio_embeds_RD) + self._blank_D()

    def embed_tokens(self, token_B: Tensor) -> Tensor:
        return super().embed_tokens(token_B) + self._blank_D()

    def _blank_D(self) -> Tensor:
        # Filled on the device itself: a copy from the host would wait for all earlier work.
        blank_D: Tensor = self.embedding(torch.full((), self.config.specials.blank, device=self.device))
        return blank_D

"""The protocol of every audio-language model: encode audio once, build a prompt, embed it, decode.

Knows nothing of emotions, interventions, Ray or Zarr. Shape letters: see `esn_dist.models`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from esn_dist.models.checkpoint import StoredWeights
from esn_dist.models.from_pretrained import find_transformers_weights
from esn_dist.models.placement import Placement
from esn_dist.models.structure import ModelStructure, inspect_class, transformers_class
from esn_dist.terms import Part
from esn_dist.transfer import to_device_async

Features = TypeVar("Features", default=Any)
"""Input features of one clip, in the form that an adapter's encoder takes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one utterance as token ids.

    Attributes:
        ids_L: int64; the audio placeholder repeated once per audio token.
        part_L: int8, `Part` of each position or `UNCOUNTED`.
    """

    ids_L: npt.NDArray[np.int64]
    part_L: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids_L)

    @classmethod
    def concatenate(cls, prompts: Sequence[Prompt]) -> Prompt:
        """All prompts in one row of positions."""
        return cls(np.concatenate([p.ids_L for p in prompts]), np.concatenate([p.part_L for p in prompts]))


class UnsupportedClip(Exception):
    """The model cannot take the whole clip. The utterance is recorded as unreadable, never cut or padded."""


class ClipTooShort(UnsupportedClip):
    """The clip gives the model no audio token (Qwen2.5-Omni: under three mel frames, about 30 ms)."""


class ClipTooLong(UnsupportedClip):
    """The official processor would cut the clip without an error."""


class AudioLM(ABC, Generic[Features]):
    """A loaded audio-language model. An adapter is a subclass, and states the type of its input features.

    Attributes:
        decoder: the text model; called with `inputs_embeds` and a cache, it returns `last_hidden_state`.
        head: vocabulary projection, applied to the needed positions only.
        embedding: token table of the decoder.
        tokenizer: the checkpoint's own.
        stop_ids: tokens that end an answer; never taken from a generation config, where they may be missing.
        encoder_batch: chunks of audio that the encoder processes at a time, from any number of clips. 0: one clip at a
            time, as the official code does. The two round differently.
        GPU_ENCODER_BATCH: `encoder_batch` where the encoder is on a GPU, which one clip at a time leaves mostly idle.
        unneeded_weights: prefixes of weights that may be missing in a checkpoint.
        provider: identity of the package that the adapter comes from; "" for the adapters of this package.
    """

    GPU_ENCODER_BATCH: ClassVar[int] = 0
    unneeded_weights: ClassVar[tuple[str, ...]] = ()
    provider: str = ""
    encoder_batch: int = 0
    decoder: nn.Module
    head: nn.Module
    embedding: nn.Module
    tokenizer: Any
    stop_ids: tuple[int, ...]

    @classmethod
    @abstractmethod
    def load(cls, source: Path, dtype: torch.dtype, placement: Placement, settings: Mapping[str, str]) -> AudioLM:
        """Load a checkpoint folder; safetensors only, no code from it.

        Args:
            placement: the devices that hold it.
            settings: values for all settings of the adapter's entry.

        Raises:
            UserError: the folder does not hold this model, the checkpoint is not whole, or memory is too small.
        """

    @classmethod
    def transformers_class(cls, config: Mapping[str, Any], where: str) -> Any:
        """transformers' class that holds the weights of a checkpoint with this `config.json`.

        Raises:
            UnknownArchitecture: transformers has none.
        """
        return transformers_class(config, where)

    @classmethod
    def structure(cls, config: Mapping[str, Any], where: str, sparse: bool = False) -> ModelStructure:
        """Gates and sizes by `config.json`; by default those of transformers' class on the meta device.

        An adapter whose class transformers does not have overrides this, or relies on its registered model's entry.

        Args:
            where: folder or name, for messages.
            sparse: whether gates that a top-k sets to zero are wanted.

        Raises:
            UnknownArchitecture: transformers has no class for the checkpoint.
        """
        return inspect_class(cls.transformers_class(config, where), config, sparse)

    @classmethod
    def find_weights(cls, config: Mapping[str, Any], folder: Path) -> StoredWeights:
        """Find every weight of the model in the checkpoint, with its shape, without reading one.

        Raises:
            UnknownArchitecture: transformers has no class for the checkpoint.
            UserError: a file or a weight is missing, or a shape differs.
        """
        return find_transformers_weights(cls.transformers_class(config, str(folder)), folder, cls.unneeded_weights)

    def encode_clip(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        """Audio embeddings [R, D] of one mono 16 kHz clip, in the decoder's dtype.

        Raises:
            UnsupportedClip: the clip gives no audio token, or is longer than the model takes.
        """
        return self.encode_audio([self.preprocess(wave_S)])[0]

    @abstractmethod
    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> Features:
        """Input features of one clip for this adapter's encoder, such as its log-mel; the CPU's share of the work.

        May be called from several threads at once.

        Raises:
            UnsupportedClip: the clip gives no audio token, or is longer than the model takes.
        """

    @abstractmethod
    def encode_audio(self, input_features: Iterable[Features]) -> list[Tensor]:
        """Audio embeddings [R, D] of each clip; the device's share of the work.

        The embeddings of a clip are the same, bit for bit, whichever clips are encoded with it.

        Args:
            input_features: what `preprocess` returned for each clip; may be an iterator that is still being filled.
        """

    @abstractmethod
    def prompt(self, audio_tokens: int, text: str) -> Prompt:
        """The chat prompt with `audio_tokens` placeholders and `text` in the user's turn."""

    def embed(self, prompt: Prompt, audio_embeds_RD: Tensor) -> Tensor:
        """Input embeddings [L, D]: token embeddings, with the audio embeddings at the placeholders.

        Concatenated prompts are embedded as each one alone; their audio embeddings come in the same order.
        """
        # 1. The host finds the placeholders [R]: asking the device would wait for it.
        audio_R = np.flatnonzero(prompt.part_L == Part.AUDIO)
        # 2. Ids [L] and placeholders go to the device without a wait.
        ids_L, index_R = (to_device_async(torch.from_numpy(x), self.device) for x in (prompt.ids_L, audio_R))
        # 3. Token embeddings [L, D], of which rows [R] are replaced.
        embeds_LD: Tensor = self.embedding(ids_L)
        return embeds_LD.index_copy(0, index_R, to_device_async(audio_embeds_RD, self.device).to(embeds_LD.dtype))

    def number_tokens(self, count: int) -> tuple[int, ...]:
        """Token ids of the answers "1" ... "count".

        Raises:
            ValueError: one of them is not a single token.
        """
        encoded = [self.tokenizer.encode(str(n), add_special_tokens=False) for n in range(1, count + 1)]
        if any(len(ids) != 1 for ids in encoded):
            raise ValueError(f"option numbers 1..{count} are not single tokens of {type(self.tokenizer).__name__}")
        return tuple(ids[0] for ids in encoded)

    def decode(self, tokens: Sequence[int]) -> str:
        """The tokens as text, without special tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def embed_tokens(self, token_B: Tensor) -> Tensor:
        """Input embeddings [B, D] of generated tokens."""
        embeds_BD: Tensor = self.embedding(token_B)
        return embeds_BD

    @property
    def device(self) -> torch.device:
        """The device of the token table, where inputs go."""
        return execution_device(self.embedding)

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype of the decoder."""
        return next(self.embedding.parameters()).dtype


def execution_device(module: nn.Module) -> torch.device:
    """Where `module` is executed. The weights of an offloaded module are placeholders between calls."""
    for submodule in module.modules():
        device = getattr(getattr(submodule, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device

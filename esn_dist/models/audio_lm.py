"""The protocol that every audio-language model is seen through: encode audio once, build a prompt, decode.

Knows nothing of emotions, interventions, Ray or Zarr. Shape suffixes: B batch, L positions, R audio rows,
D model width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from esn_dist.models.placement import Placement
from esn_dist.terms import Part
from esn_dist.transfer import to_device_async


@dataclass(frozen=True, slots=True)
class Prompt:
    """One utterance's question as token ids.

    Attributes:
        ids_L: int64, the audio placeholder repeated once per audio row.
        part_L: int8, `Part` of each position or `UNCOUNTED`.
    """

    ids_L: npt.NDArray[np.int64]
    part_L: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids_L)

    @classmethod
    def concatenate(cls, prompts: Sequence[Prompt]) -> Prompt:
        """One after the other."""
        return cls(np.concatenate([p.ids_L for p in prompts]), np.concatenate([p.part_L for p in prompts]))


class ClipUnfit(Exception):
    """The model cannot take the clip as a whole; the utterance is recorded as unreadable, never cut or filled."""


class ClipTooShort(ClipUnfit):
    """The clip gives the model no audio token at all (Qwen2.5-Omni: under three mel frames, about 30 ms)."""


class ClipTooLong(ClipUnfit):
    """The official processor would silently cut the clip."""


class AudioLM(ABC):
    """A loaded audio-language model.

    Attributes:
        decoder: the text model; called with `inputs_embeds` and a cache, it returns `last_hidden_state`.
        head: vocabulary projection, applied to the rows that are read only.
        embedding: token table of the decoder.
        tokenizer: the checkpoint's own.
        stop_ids: tokens that end an answer; never taken from a generation config, which may lack them.
        settings: the adapter's defaults for what changes answers but not weights; kept in the store.
        encoder_batch: chunks of audio that the encoder processes at a time, from any number of clips. 0: one clip at a
            time, as the official code does. The two round differently.
        GPU_ENCODER_BATCH: `encoder_batch` where the encoder is on a GPU, which one clip at a time leaves mostly idle.
    """

    settings: ClassVar[dict[str, str]]
    GPU_ENCODER_BATCH: ClassVar[int] = 0
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
            placement: which devices hold it.
            settings: values for all of the adapter's settings.

        Raises:
            UserError: the folder does not hold this model, whole, or the devices cannot.
        """

    def encode_clip(self, wave_S: npt.NDArray[np.float32]) -> Tensor:
        """Audio rows [R, D] of one mono 16 kHz clip, in the decoder's dtype, ready to stand in for the placeholders.

        Raises:
            ClipUnfit: the clip yields no row, or is longer than the model hears.
        """
        return self.encode_audio([self.preprocess(wave_S)])[0]

    @abstractmethod
    def preprocess(self, wave_S: npt.NDArray[np.float32]) -> Any:
        """The CPU's share of `encode`: what this adapter's encoder takes of the clip, such as its log-mel.

        May be called from several threads at once.

        Raises:
            ClipUnfit: the clip yields no row, or is longer than the model hears.
        """

    @abstractmethod
    def encode_audio(self, heard: Iterable[Any]) -> list[Tensor]:
        """The device's share: audio rows [R, D] of each clip of which `heard` has what `preprocess` returned.

        A clip's rows are the same, bit for bit, whichever clips stand beside it. What comes late in `heard` is waited
        for while the device is at work on what came before.
        """

    @abstractmethod
    def prompt(self, rows: int, text: str) -> Prompt:
        """The chat prompt with `rows` audio placeholders and `text` in the user's turn."""

    def embed(self, prompt: Prompt, rows_RD: Tensor) -> Tensor:
        """Input embeddings [L, D]: token embeddings with the audio rows written over the placeholders.

        Prompts that were joined are embedded as each alone, and their rows come in the same order.
        """
        heard_R = np.flatnonzero(prompt.part_L == Part.AUDIO)  # by the host: to ask the device is to wait for it
        ids_L, at_R = (to_device_async(torch.from_numpy(x), self.device) for x in (prompt.ids_L, heard_R))
        embedded_LD: Tensor = self.embedding(ids_L)
        return embedded_LD.index_copy(0, at_R, to_device_async(rows_RD, self.device).to(embedded_LD.dtype))

    def number_tokens(self, count: int) -> tuple[int, ...]:
        """Token ids of the answers "1" ... "count", each of which must be a single token."""
        encoded = [self.tokenizer.encode(str(n), add_special_tokens=False) for n in range(1, count + 1)]
        if any(len(ids) != 1 for ids in encoded):
            raise ValueError(f"option numbers 1..{count} are not single tokens of {type(self.tokenizer).__name__}")
        return tuple(ids[0] for ids in encoded)

    def decode(self, tokens: Sequence[int]) -> str:
        """The answer as text; special tokens are left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def embed_tokens(self, token_B: Tensor) -> Tensor:
        """Input embeddings [B, D] of the tokens generated last."""
        embedded_BD: Tensor = self.embedding(token_B)
        return embedded_BD

    @property
    def device(self) -> torch.device:
        """Where the token table is read: inputs go there."""
        return execution_device(self.embedding)

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype of the decoder."""
        return next(self.embedding.parameters()).dtype


def execution_device(module: nn.Module) -> torch.device:
    """Where `module` is executed; the weights of an offloaded one are placeholders between calls."""
    for part in module.modules():
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device

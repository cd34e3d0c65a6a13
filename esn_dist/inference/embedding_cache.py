"""The cache of audio embeddings: computed once per model and utterance for a whole sweep, addressed by content.

A file holds a block of utterances; its name is the hash of the model's fingerprint and the clips' hashes. A damaged
file counts as a missing one: the caller encodes the block again. Files appear whole (temporary file and rename).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from esn_dist.seeds import digest


@dataclass(frozen=True, slots=True)
class AudioEmbeddingCache:
    """Audio embeddings of one model.

    Attributes:
        folder: shared by all actors of a machine, or by all machines.
        model: fingerprint of all that the embeddings depend on besides the clip (weights, dtype, device type, and
            how many pieces the encoder takes at a time).
    """

    folder: Path
    model: str

    def load(self, clips: Sequence[str]) -> list[Tensor] | None:
        """Embeddings [R, D] of each clip of a block (by content hash), or None where the block must be encoded."""
        try:
            with safe_open(self._path(clips), "pt") as file:
                embeds_RD, lengths = file.get_tensor("rows"), file.get_tensor("lengths").tolist()
                checksum = file.metadata()["crc32"]
        except (FileNotFoundError, SafetensorError, OSError):
            return None
        if len(lengths) != len(clips) or checksum != _crc32(embeds_RD):
            return None
        return list(embeds_RD.split(lengths))

    def save(self, clips: Sequence[str], audio_embeds: Sequence[Tensor]) -> None:
        """Publish a block; a second writer of the same block writes the same bytes."""
        path = self._path(clips)
        path.parent.mkdir(parents=True, exist_ok=True)
        joined_RD = torch.cat([embeds_RD.cpu() for embeds_RD in audio_embeds]).contiguous()
        lengths = torch.tensor([len(embeds_RD) for embeds_RD in audio_embeds])
        partial = path.with_suffix(f".{uuid4().hex}.partial")  # threads and machines may write one block at once
        save_file({"rows": joined_RD, "lengths": lengths}, partial, metadata={"crc32": _crc32(joined_RD)})
        partial.replace(path)

    def _path(self, clips: Sequence[str]) -> Path:
        return self.folder / self.model[:16] / f"{digest(self.model, list(clips))[:32]}.safetensors"


def _crc32(embeds_RD: Tensor) -> str:
    return f"{zlib.crc32(embeds_RD.contiguous().view(torch.uint8).numpy().tobytes()):08x}"

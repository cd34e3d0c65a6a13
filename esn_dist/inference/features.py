"""The cache of audio features: encoded once per model and utterance for a whole sweep, addressed by content.

A file holds a block of utterances; its name is the hash of the model's fingerprint and the clips' hashes. A missing or
damaged file is the same as none: whoever needs it encodes the block again. Files appear whole (temp + rename).
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
class FeatureCache:
    """Features of one model.

    Attributes:
        folder: shared by all actors of a machine, or by all machines.
        model: fingerprint of everything that the features depend on beside the clip (weights, dtype, device type, the
            size of the encoder's groups).
    """

    folder: Path
    model: str

    def load(self, clips: Sequence[str]) -> list[Tensor] | None:
        """Audio rows [R, D] of each clip of a block (by content hash), or None where the block must be encoded."""
        try:
            with safe_open(self._path(clips), "pt") as file:
                rows, lengths = file.get_tensor("rows"), file.get_tensor("lengths").tolist()
                checksum = file.metadata()["crc32"]
        except (FileNotFoundError, SafetensorError, OSError):
            return None
        if len(lengths) != len(clips) or checksum != _crc32(rows):
            return None
        return list(rows.split(lengths))

    def save(self, clips: Sequence[str], rows: Sequence[Tensor]) -> None:
        """Publish a block; a second writer of the same block writes the same bytes."""
        path = self._path(clips)
        path.parent.mkdir(parents=True, exist_ok=True)
        joined = torch.cat([r.cpu() for r in rows]).contiguous()
        lengths = torch.tensor([len(r) for r in rows])
        partial = path.with_suffix(f".{uuid4().hex}.partial")  # threads may write one block at once, and machines
        save_file({"rows": joined, "lengths": lengths}, partial, metadata={"crc32": _crc32(joined)})
        partial.replace(path)

    def _path(self, clips: Sequence[str]) -> Path:
        return self.folder / self.model[:16] / f"{digest(self.model, list(clips))[:32]}.safetensors"


def _crc32(rows: Tensor) -> str:
    return f"{zlib.crc32(rows.contiguous().view(torch.uint8).numpy().tobytes()):08x}"

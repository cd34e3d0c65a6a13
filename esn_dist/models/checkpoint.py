"""The tensors of a checkpoint folder, read from file headers alone: shape, type and file of each, or the error.

Follows the index, never a pattern of file names. Opens no pickle. Knows nothing of any model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from esn_dist.errors import UserError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
LONGEST_HEADER = 100_000_000
STORED_TYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
DAMAGED = "download the file again; a copy that was cut off is the usual cause"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a checkpoint, not read."""

    file: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return prod(self.shape) * STORED_TYPE_BYTES.get(self.dtype, 1)


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Size of a checkpoint.

    Attributes:
        parameters: those of the model that the checkpoint is of; None where only the files were counted.
    """

    tensors: int
    files: int
    parameters: int | None = None

    @classmethod
    def of(cls, tensors: Iterable[StoredTensor], parameters: int | None = None) -> StoredWeights:
        """Count tensors and their files."""
        listed = list(tensors)
        return cls(len(listed), len({tensor.file for tensor in listed}), parameters)


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`.

    Raises:
        UserError: the file is missing, or is no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "no config.json: this is not a model's folder", where=str(folder),
            expected="a folder with config.json and *.safetensors",
        ) from None  # fmt: skip
    except (ValueError, OSError) as error:
        raise UserError(f"cannot be read: {error}", where=str(path), fix=DAMAGED) from None
    if not isinstance(config, dict):
        raise UserError("holds no JSON object", where=str(path), fix=DAMAGED)
    return config


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint by name; each file's header and size are checked.

    Raises:
        UserError: no safetensors, a shard that is missing or cut off, or an index that contradicts its files.
    """
    indexed = _weight_map(folder)
    files = sorted(set(indexed.values())) if indexed is not None else [SINGLE]
    stored = {name: tensor for file in files for name, tensor in _header(folder / file).items()}
    absent = [name for name, file in (indexed or {}).items() if name not in stored or stored[name].file.name != file]
    if absent:
        raise UserError(
            f"the index names {len(absent)} tensors that their files do not hold, such as {absent[0]}",
            where=str(folder / INDEX), fix="download index and shards of one revision",
        )  # fmt: skip
    return {name: stored[name] for name in indexed} if indexed is not None else stored


def require(stored: Mapping[str, StoredTensor], wanted: Mapping[str, Sequence[int]], where: Path) -> None:
    """Refuse a checkpoint in which a wanted tensor is missing or has another shape."""
    missing = sorted(name for name in wanted if name not in stored)
    if missing:
        raise UserError(
            f"{len(missing)} weights are missing from the checkpoint: {', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}",
            where=str(where), fix="give the folder of the whole model, as published",
        )  # fmt: skip
    for name, shape in wanted.items():
        if stored[name].shape != tuple(shape):
            raise UserError(
                f"{name} has shape {stored[name].shape}", where=str(stored[name].file), expected=str(tuple(shape))
            )


def _weight_map(folder: Path) -> dict[str, str] | None:
    """File of each tensor, by the index; None where one file holds all."""
    if (folder / INDEX).is_file():
        try:
            return dict(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UserError(f"is no index of weights: {error!r}", where=str(folder / INDEX), fix=DAMAGED) from None
    if (folder / SINGLE).is_file():
        return None
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    problem = f"only pickled weights ({pickles[0]}), which can run code" if pickles else "no weights"
    raise UserError(
        f"{problem}; this program reads safetensors only",
        where=str(folder),
        expected=f"{SINGLE}, or {INDEX} and shards",
    )


def _header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file: 8 bytes of header length, a JSON header, data up to the last offset."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LONGEST_HEADER, max(0, size - 8)):
                raise UserError(f"cut off or no safetensors file ({size} bytes)", where=str(path), fix=DAMAGED)
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise UserError("this shard of the checkpoint is missing", where=str(path), fix="download it again") from None
    except (ValueError, OSError) as error:
        raise UserError(f"its header cannot be read: {error}", where=str(path), fix=DAMAGED) from None
    tensors = {name: value for name, value in header.items() if name != "__metadata__"}
    expected_size = 8 + length + max((value["data_offsets"][1] for value in tensors.values()), default=0)
    if size != expected_size:
        raise UserError(
            f"has {size} bytes", where=str(path), expected=f"{expected_size} bytes by its own header", fix=DAMAGED
        )
    return {name: StoredTensor(path, tuple(value["shape"]), value["dtype"]) for name, value in tensors.items()}

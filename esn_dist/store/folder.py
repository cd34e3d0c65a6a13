"""The folder of a sweep: names of its parts, paths inside `data.zarr`, and the backend that reads and writes it.

Knows no Zarr.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from esn_dist.errors import UserError
from esn_dist.store.backend import StorageBackend
from esn_dist.store.local_backend import LocalBackend

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
# Names that a corpus cannot have: a model's group holds these next to its corpora.
RESERVED = frozenset({"masks", "zarr.json"})

DATA, DONE, LOCK, LOG, PROVENANCE, CACHE, STAGING = (
    "data.zarr", "done", "lock", "log", "provenance", "cache", "staging",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """The folder of one sweep. Moving it moves all."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / DATA

    @property
    def done(self) -> Path:
        return self.root / DONE

    @property
    def log(self) -> Path:
        return self.root / LOG

    @property
    def provenance(self) -> Path:
        return self.root / PROVENANCE

    @property
    def cache(self) -> Path:
        return self.root / CACHE

    @property
    def backend(self) -> StorageBackend:
        """Reads and writes the files of the store, by keys relative to the folder."""
        return LocalBackend(self.root)

    def begun(self) -> bool:
        """Whether a run has made a store here, marked a unit done, or logged anything."""
        return self.exists() or any(True for prefix in (DONE, LOG) for _ in self.backend.keys_below(prefix))

    def new_staging_key(self) -> str:
        """An unused prefix, to build a node below it and then publish the node."""
        return f"{STAGING}/{uuid.uuid4().hex}"

    def exists(self) -> bool:
        """Whether a store has been created here."""
        return self.backend.exists(f"{DATA}/zarr.json")

    def require(self) -> None:
        """Raise `UserError` unless a store has been created here."""
        if not self.exists():
            raise UserError(
                "there is no store here",
                where=str(self.root),
                expected="a folder that holds data.zarr",
                fix="name the folder of a sweep, or start one with `esn-dist run SWEEP.yaml`",
            )


def data_key(path: str) -> str:
    """The backend's key of a path inside `data.zarr`; "" is its root."""
    return f"{DATA}/{path}" if path else DATA


def corpus_group(corpus: str) -> str:
    """Path of a corpus inside `data.zarr`."""
    return f"corpora/{checked(corpus)}"


def model_group(model: str) -> str:
    """Path of a model inside `data.zarr`."""
    return f"models/{checked(model)}"


def masks_group(model: str) -> str:
    """Path of a model's masks inside `data.zarr`."""
    return f"{model_group(model)}/masks"


def counts_group(model: str, corpus: str) -> str:
    """Path of a model's identification counts on a corpus inside `data.zarr`."""
    return f"{model_group(model)}/{checked(corpus)}/counts"


def answers_group(model: str, corpus: str) -> str:
    """Path of a model's answers on a corpus inside `data.zarr`."""
    return f"{model_group(model)}/{checked(corpus)}/answers"


def checked(name: str) -> str:
    """`name`, if it can be a folder everywhere; else `UserError`."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise UserError(
            f"{name!r} is not a valid name of a model or corpus",
            expected="1 to 100 letters, digits, '.', '_' or '-', not starting with '.' or '-', "
            f"and none of {sorted(RESERVED)}",
            fix="rename it in the sweep",
        )
    return name

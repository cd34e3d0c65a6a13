"""Where each thing of a sweep lies: `data.zarr` and, beside it, everything that is not data.

Knows no Zarr: it only makes and checks paths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from esn_dist.errors import UserError
from esn_dist.store.backend import StorageBackend
from esn_dist.store.local_backend import LocalBackend

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
# A corpus stands beside these inside a model's group, and every group holds a zarr.json.
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
    def lock(self) -> Path:
        return self.root / LOCK

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
    def staging(self) -> Path:
        return self.root / STAGING

    @property
    def backend(self) -> StorageBackend:
        """Reads and writes the files of the store, by keys relative to the folder."""
        return LocalBackend(self.root)

    def prepare(self) -> None:
        """Make the folders that stand beside `data.zarr`; existing ones are left as they are."""
        for path in (self.done, self.log, self.provenance, self.cache, self.staging):
            path.mkdir(parents=True, exist_ok=True)

    def begun(self) -> bool:
        """Whether a run has begun here, if only by taking the lock or by marking a unit done."""
        return self.exists() or self.done.is_dir()

    def exists(self) -> bool:
        """Whether a store has been created here."""
        return (self.data / "zarr.json").is_file()

    def require(self) -> None:
        """Raise `UserError` unless a store has been created here."""
        if not self.exists():
            raise UserError(
                "there is no store here",
                where=str(self.root),
                expected="a folder that holds data.zarr",
                fix="name the folder of a sweep, or start one with `esn-dist run SWEEP.yaml`",
            )


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
            f"{name!r} cannot name a model or corpus",
            expected="1 to 100 letters, digits, '.', '_' or '-', not starting with '.' or '-', "
            f"and none of {sorted(RESERVED)}",
            fix="rename it in the sweep",
        )
    return name

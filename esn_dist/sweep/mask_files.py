"""Masks from a JSON file as a part of a study: their identity is the hash of the file's content, not its path.

Knows the file's format by `store.maskfile` alone, and nothing of models beyond their registered names.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import PrivateAttr, model_validator

from esn_dist.errors import UserError
from esn_dist.sweep.base_spec import Spec, identity, runtime
from esn_dist.sweep.keys import FILE_PREFIX
from esn_dist.terms import JOIN

SAME_IN_FILE = ("selector", "source_corpus", "fraction", "identification_size", "parts")
"""Columns that all masks of one file must agree in."""


class FileFamily(NamedTuple):
    """Masks of a file that differ in their emotion alone."""

    fraction: Decimal
    seed: int
    emotions: tuple[str, ...]


class MaskFileSpec(Spec):
    """A file that `esn-dist masks export` wrote: masks of one selector, corpus and fraction, one per emotion."""

    path: Path = runtime(description="relative to the sweep's file")
    sha256: str | None = identity(
        None, description="of the file; computed where it is not given, refused where it differs"
    )
    _families: tuple[FileFamily, ...] | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data

    @property
    def label(self) -> str:
        """What these masks have in the place of an identification corpus."""
        return file_label(self.sha256 or "")

    @property
    def families(self) -> tuple[FileFamily, ...]:
        """The masks of the file. Raises ValueError before it was read."""
        if self._families is None:
            raise ValueError(f"{self.path} was not read; sweeps with mask files come from load_sweep")
        return self._families


def file_label(digest: str) -> str:
    """`file:` and 12 hex digits."""
    return FILE_PREFIX + digest[:12]


def content_hash(path: Path) -> str:
    """SHA-256 of a mask file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"the mask file cannot be read: {error.strerror}", where=str(path)) from None


def resolve_mask_file(file: MaskFileSpec, folder: Path, models: Iterable[str]) -> MaskFileSpec:
    """`file` with an absolute path, its hash, and the families of masks in it.

    Args:
        folder: folder that its path is relative to.
        models: registered names of the models that the study runs.

    Raises:
        UserError: no mask file, another hash than the study gives, masks of another model, or masks of several
            selectors, corpora or fractions.
    """
    path = (folder / file.path.expanduser()).resolve()
    digest = content_hash(path)
    if file.sha256 not in (None, digest):
        raise UserError(
            f"the mask file has the sha256 {digest}", where=str(path), expected=str(file.sha256),
            fix="restore the file, or write the new hash",
        )  # fmt: skip
    from esn_dist.store.maskfile import read_mask_file

    masks = read_mask_file(path)
    registered = masks.attrs["registered"]
    if others := [name for name in models if registered not in (None, name)]:
        raise UserError(
            f"the masks are of {registered}, and the study runs {', '.join(others)}", where=str(path),
            fix="name the model in the study's `models`",
        )  # fmt: skip
    read = file.model_copy(update={"path": path, "sha256": digest})
    read._families = _families(masks, path)
    return read


def _families(masks: Any, path: Path) -> tuple[FileFamily, ...]:
    single = [row for row, emotion in enumerate(masks["source_emotion"].values) if emotion and JOIN not in emotion]
    ways = {tuple(masks[name].values[row].item() for name in SAME_IN_FILE) for row in single}
    if len(ways) != 1:
        raise UserError(
            f"the file holds {'masks of several selectors, corpora or fractions' if ways else 'no emotion mask'}",
            where=str(path), expected="one mask per emotion, of one selector, corpus and fraction",
            fix="esn-dist masks export FOLDER --selector SELECTOR --corpus CORPUS --out FILE",
        )  # fmt: skip
    by_seed: dict[int, list[str]] = {}
    for row in single:
        by_seed.setdefault(int(masks["mask_seed"].values[row]), []).append(str(masks["source_emotion"].values[row]))
    if any(len(set(emotions)) < len(emotions) for emotions in by_seed.values()):
        raise UserError("two masks of the file are of the same emotion", where=str(path))
    fraction = Decimal(repr(float(masks["fraction"].values[single[0]])))
    return tuple(FileFamily(fraction, seed, tuple(emotions)) for seed, emotions in by_seed.items())

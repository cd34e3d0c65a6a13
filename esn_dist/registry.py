"""Registries that other installed packages can join: entries by name, built in or from an entry point.

Knows nothing of what an entry is. An entry point is loaded when its name is first asked for, so that a broken package
hurts only those who use it. An entry of another package is identified by that package's name, version and source.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

from esn_dist.errors import UserError, did_you_mean

Entry = TypeVar("Entry")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provider:
    """The installed package that an entry comes from.

    Attributes:
        digest: SHA-256 (64 hex digits) of the source files of the entry's top-level package.
    """

    name: str
    version: str
    digest: str

    @property
    def identity(self) -> str:
        """What enters the identity of everything that the entry computes."""
        return f"{self.name}=={self.version}:{self.digest[:16]}"


class Registry(Mapping[str, Entry], Generic[Entry]):
    """A read-only mapping from name to entry: the built-in ones first, in their order, then those of other packages.

    Args:
        group: entry-point group that other packages register in, such as "esn_dist.selectors".
        noun: what an entry is called in messages, such as "selector".
        entry_type: class of an entry; an entry point that gives anything else is refused.
        builtin: entries of this package, or the import string `module:name` of an entry that imports this registry.
    """

    def __init__(self, group: str, noun: str, entry_type: type[Entry], builtin: Mapping[str, Entry | str]) -> None:
        self.group, self.noun, self.entry_type = group, noun, entry_type
        self._builtin = dict(builtin)
        self._loaded: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        """The entry called `name`.

        Raises:
            KeyError: no entry has this name.
            UserError: the package that registers it cannot be imported, or registers something else.
        """
        if name not in self._loaded:
            builtin = self._builtin.get(name)
            if isinstance(builtin, str):
                builtin = EntryPoint(name, builtin, self.group).load()
            self._loaded[name] = (
                builtin if isinstance(builtin, self.entry_type) else self._load(self._entry_points[name])
            )
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._builtin
        yield from self._entry_points

    def __len__(self) -> int:
        return len(self._builtin) + len(self._entry_points)

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._entry_points

    def usable(self) -> dict[str, Entry]:
        """Every entry that can be loaded, for questions about all entries. A broken one is logged and left out."""
        entries: dict[str, Entry] = {}
        for name in self:
            try:
                entries[name] = self[name]
            except UserError as error:
                logger.warning("%s", error)
        return entries

    def require(self, name: str, where: str | None = None) -> Entry:
        """The entry called `name`, or a `UserError` that lists the names and suggests the nearest one."""
        if name in self:
            return self[name]
        raise UserError(
            f"unknown {self.noun} {name!r}.{did_you_mean(name, self)}",
            where=where,
            expected=f"one of {', '.join(self)}",
        )

    def provider(self, name: str) -> Provider | None:
        """The package that registers `name`; None for a built-in entry, whose identity is its name alone."""
        if name in self._builtin:
            return None
        point = self._entry_points[name]
        package = point.module.partition(".")[0]
        name_and_version = (point.dist.name, point.dist.version) if point.dist else (package, "0")
        return Provider(*name_and_version, _source_digest(package))

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        points: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            other = "esn_dist itself" if point.name in self._builtin else None
            if point.name in points:
                other = points[point.name].module
            if other:
                raise UserError(
                    f"the {self.noun} {point.name!r} is registered twice, by {other} and by {point.module}",
                    fix="uninstall one of the two packages, or rename its entry point",
                )
            points[point.name] = point
        return points

    def _load(self, point: EntryPoint) -> Entry:
        where = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            entry = point.load()
        except Exception as error:  # whatever a foreign module raises on import
            raise UserError(
                f"the {self.noun} {point.name!r} cannot be loaded: {type(error).__name__}: {error}",
                where=where, fix=f"reinstall or uninstall the package, whose entry point is {point.value}",
            ) from error  # fmt: skip
        if not isinstance(entry, self.entry_type):
            raise UserError(
                f"the {self.noun} {point.name!r} is a {type(entry).__name__}",
                where=where, expected=f"an instance of {self.entry_type.__module__}.{self.entry_type.__qualname__}",
            )  # fmt: skip
        return entry


def _source_digest(package: str) -> str:
    """SHA-256 over the relative path and content of every source file of an importable top-level package."""
    spec = find_spec(package)
    roots = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    files = sorted((path.relative_to(root).as_posix(), path) for root in roots for path in root.rglob("*"))
    if spec and spec.origin and not roots:
        files = [(Path(spec.origin).name, Path(spec.origin))]
    digest = hashlib.sha256()
    for name, path in files:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()

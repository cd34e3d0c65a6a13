"""The registered models: adapter, gates, dtype and source of each, known without loading anything.

Every adapter has a folder in `esn_dist/models` whose `models.yaml` holds the adapter's entry and those of its models.
Other packages add models through the entry point group `esn_dist.models`. Imports no torch and no adapter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import yaml

from esn_dist.registry import Registry

ANY = "any"  # instead of a registered model: the checkpoint determines adapter, shape and dtype
GENERIC = "generic"  # the adapter of checkpoints that no other adapter claims


@dataclass(frozen=True, slots=True)
class Companion:
    """Another hub repository that a checkpoint needs, in a subfolder of the checkpoint's folder."""

    folder: str
    repository: str
    revision: str


@dataclass(frozen=True, slots=True)
class AdapterEntry:
    """A class that loads one family of checkpoints, and what must be known of it before it is imported.

    Attributes:
        name: in messages.
        class_path: import string `module:Class` of a subclass of `esn_dist.models.audio_lm.AudioLM`.
        architectures: how the names under `architectures` in `config.json` begin. The adapter loads such a checkpoint
            where a sweep gives a folder or hub id and names no registered model.
        system_prompt, order: used where a sweep sets none.
        unneeded_files: glob patterns of files that are neither downloaded nor part of the fingerprint.
        companion: downloaded with the checkpoint.
    """

    name: str
    class_path: str
    architectures: tuple[str, ...] = ()
    system_prompt: str = ""
    order: Literal["audio, text", "text, audio"] = "audio, text"
    unneeded_files: tuple[str, ...] = ()
    companion: Companion | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Defaults of what changes answers but not weights; the store keeps them."""
        return {"system_prompt": self.system_prompt, "order": self.order}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that a sweep can name.

    Attributes:
        source: hub id, folder, or `package:` and a folder that is shipped in this package.
        layers, width: decoder layers, and gates in each (those of all experts together).
        dtype: compute dtype.
        experts: per layer; 0 where layers are dense.
    """

    adapter: AdapterEntry
    source: str
    layers: int
    width: int
    dtype: Literal["float32", "bfloat16", "float16"]
    experts: int = 0


def _builtin() -> Iterator[tuple[str, ModelEntry]]:
    """The models of every adapter's folder, by name."""
    folders = sorted(files("esn_dist").joinpath("models").iterdir(), key=lambda folder: folder.name)
    for listing in (folder.joinpath("models.yaml") for folder in folders):
        if listing.is_file():
            listed: dict[str, Any] = yaml.safe_load(listing.read_text(encoding="utf-8"))
            adapter = _adapter(**listed["adapter"])
            yield from ((name, ModelEntry(adapter, **entry)) for name, entry in listed["models"].items())


def _adapter(companion: dict[str, str] | None = None, **entry: Any) -> AdapterEntry:
    sequences = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    return AdapterEntry(**{**entry, **sequences}, companion=Companion(**companion) if companion else None)


_BUILTIN = dict(_builtin())
MODELS = Registry("esn_dist.models", "model", ModelEntry, _BUILTIN)
BUILTIN_ADAPTERS = {entry.adapter.name: entry.adapter for entry in _BUILTIN.values()}

"""The sweep's YAML as pydantic models: every field documented, and classed as identity or runtime.

*Identity* fields change what a number in the store means; *runtime* fields (places, devices, parallelism) do not.
The corpora's part is `corpus_spec.py`, the studies' `study_spec.py`. Knows nothing of how the file is read (`load.py`)
or expanded (`plan.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from esn_dist.sweep.base_spec import InvalidName, Name, Spec, identity, runtime
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import AnyCorpus
from esn_dist.sweep.model_catalog import ANY, MODELS
from esn_dist.sweep.study_spec import StudySpec


class ModelSpec(Spec):
    """A model, by a registered name, or by any folder or hub id of an audio-language model."""

    name: Name = identity(description="its name in store and tables")
    model: str = identity(
        description="registered model whose adapter and shape it has; default: `name` where that is one, "
        "else `any`: read from the architecture of `source`"
    )
    source: str | None = runtime(None, description="folder (relative to this file) or hub id; default: the registered")
    revision: str | None = runtime(None, description="hub revision; the weights' fingerprint is what is checked")
    dtype: Literal["float32", "bfloat16", "float16"] | None = identity(
        None, description="default: the registered, or the checkpoint's"
    )
    system_prompt: str | None = identity(None, description="default: the adapter's")
    order: Literal["audio, text", "text, audio"] | None = identity(
        None, description="in a turn; default: the adapter's"
    )
    sparse_gates: bool = identity(
        False,
        description="study gates that a top-k sets to zero before the activation too: counts are then of survivors",
    )
    device: Literal["auto", "cpu", "cuda"] = runtime("auto", description="auto: a GPU where Ray sees one")
    gpus: int = runtime(1, ge=1, description="GPUs per replica, where the device is cuda")
    offload: Literal["cpu", "disk"] | None = runtime(
        None, description="where weights go that do not fit; default: fail"
    )
    memory: float | None = runtime(None, gt=0, description="GB of weights per device at most; default: what is free")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, dict) or "name" not in data:
            return data
        from_source = data.get("source") and data["name"] not in MODELS
        return {"model": ANY if from_source else data["name"], **data}

    @model_validator(mode="after")
    def _registered(self) -> ModelSpec:
        if self.model == ANY and not self.source:
            raise InvalidName(f"model {self.name!r} of any architecture needs a `source`", self.model, ())
        if self.model not in (ANY, *MODELS):
            raise InvalidName(f"unknown model {self.model!r}", self.model, MODELS)
        return self


class Sweep(Spec):
    """One YAML file."""

    name: Name = runtime(description="names the default store")
    store: Path | None = runtime(None, description="folder of results, relative to this file; default: ../store/NAME")
    cache: Path | None = runtime(
        None, description="folder of audio features and synthetic speech; default: STORE/cache"
    )
    actors: int | None = runtime(None, ge=1, description="workers; default: one per GPU, or per CPU core")
    seed: int = identity(description="option orders, splits and RND masks are hashed from it")
    max_new_tokens: int = identity(20, ge=1, description="of an answer (paper §4)")
    models: tuple[ModelSpec, ...] = identity(min_length=1)
    corpora: tuple[AnyCorpus, ...] = identity(min_length=1)
    studies: dict[Name, StudySpec] = identity(min_length=1)

    @property
    def cache_in_store(self) -> bool:
        """Whether the cache is inside the store, so that it moves with the store."""
        return bool(self.store and self.cache and self.cache.is_relative_to(self.store))

    @model_validator(mode="after")
    def _names(self) -> Sweep:
        models, corpora = [m.name for m in self.models], [c.name for c in self.corpora]
        _distinct("models", models)
        _distinct("corpora", corpora)
        for title, study in self.studies.items():
            _listed(title, "models", study.models, models)
            _listed(title, "corpora", study.corpora, corpora)
            for index, source in enumerate(study.sources or ()):
                _pooled(title, index, source, {c.name: c for c in self.corpora})
        return self


def _distinct(axis: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidName(
                f"a second entry of {axis} is named {name!r}; give it another `name`", name, (), (axis, index)
            )


def _listed(study: str, axis: str, names: Sequence[str] | None, allowed: Sequence[str]) -> None:
    for index, name in enumerate(names or ()):
        if name not in allowed:
            raise InvalidName(f"unknown name {name!r} in {axis}", name, allowed, ("studies", study, axis, index))


def _pooled(study: str, index: int, source: str, corpora: dict[str, CorpusSpec]) -> None:
    """Refuse identification over corpora that do not exist, or that have fewer than two emotions in common."""
    path = ("studies", study, "sources", index)
    names = source.split("+")
    for name in names:
        if name not in corpora:
            raise InvalidName(f"unknown name {name!r} in sources", name, corpora, path)
    if len(set(names)) < len(names):
        raise InvalidName(f"{source!r} names a corpus twice", source, (), path)
    pools = [corpora[name] for name in names]
    if len({pool.identification.parts for pool in pools}) > 1:
        raise InvalidName(f"the corpora of {source!r} count other parts", source, (), path)
    if len(set.intersection(*(set(pool.emotions) for pool in pools))) < 2:
        raise InvalidName(f"the corpora of {source!r} share fewer than two emotions", source, (), path)

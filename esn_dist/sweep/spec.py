"""The sweep's YAML as pydantic models: every field documented, and classed as identity or runtime.

*Identity* fields change what a number in the store means; *runtime* fields (places, devices, parallelism) do not.
The corpora's part is `corpus_spec.py`. Knows nothing of how the file is read (`load.py`) or what it expands to
(`plan.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.fields import Misnamed, Name, Spec, identity, runtime
from esn_dist.sweep.words import InterventionType, Selector, known_models


def _fraction(value: Any) -> Any:
    # The decimal as written: 0.005 and "0.5 %" are the same fraction, and neither becomes 0.005000000000000000104.
    text = str(value).strip()
    try:
        return Decimal(text.removesuffix("%").strip()) / 100 if text.endswith("%") else Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a fraction; write 0.005 or 0.5 %") from None


Fraction = Annotated[Decimal, BeforeValidator(_fraction), Field(gt=0, le=1)]


class ModelSpec(Spec):
    """A model, by a registered name, or by a folder or hub id that a registered adapter loads."""

    name: Name = identity(description="its name in store and tables")
    model: str = identity(description="registered model whose adapter and shape it has; default: `name`")
    source: str | None = runtime(None, description="folder (relative to this file) or hub id; default: the registered")
    revision: str | None = runtime(None, description="hub revision; the weights' fingerprint is what is checked")
    dtype: Literal["float32", "bfloat16", "float16"] | None = identity(None, description="default: the registered")
    system_prompt: str | None = identity(None, description="default: the adapter's")
    order: Literal["audio, text", "text, audio"] | None = identity(
        None, description="in a turn; default: the adapter's"
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
        return {"model": data["name"], **data} if isinstance(data, dict) and "name" in data else data

    @model_validator(mode="after")
    def _registered(self) -> ModelSpec:
        if self.model not in known_models():
            raise Misnamed(f"unknown model {self.model!r}", self.model, known_models())
        return self


class InterventionSpec(Spec):
    """Deactivation (eqs. 8–9), or steering with gains α (eqs. 10–11): the gate is multiplied by 1 + α."""

    type: Literal[InterventionType.DEACTIVATE, InterventionType.STEER] = identity()
    alpha: tuple[float, ...] = identity((), description="gains, for steer only")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"type": data}
        if isinstance(data, dict) and isinstance(data.get("alpha"), int | float):
            data = {**data, "alpha": (data["alpha"],)}
        return data

    @model_validator(mode="after")
    def _gains(self) -> InterventionSpec:
        if (self.type == InterventionType.STEER) != bool(self.alpha):
            raise ValueError("steer needs `alpha` (a gain or a list of gains); deactivate takes none")
        if any(a in (0.0, -1.0) or a != a or abs(a) == float("inf") for a in self.alpha):
            raise ValueError("a gain must be finite, and neither 0 (the baseline) nor -1 (that is deactivate)")
        return self

    @property
    def gains(self) -> tuple[float, ...]:
        """The α of each cell that this gives; −1 for deactivation."""
        return self.alpha or (-1.0,)


class StudySpec(Spec):
    """A named product of axes: models × corpora × selectors × fractions × interventions (× emotions or seeds)."""

    selectors: tuple[Selector, ...] = identity(tuple(Selector))
    fractions: tuple[Fraction, ...] = identity((Decimal("0.005"),), min_length=1, description="r of all gates")
    interventions: tuple[InterventionSpec, ...] = identity(min_length=1)
    seeds: int = identity(5, ge=1, description="independent RND masks")
    models: tuple[str, ...] | None = identity(None, description="default: all of the sweep")
    corpora: tuple[str, ...] | None = identity(None, description="evaluation corpora; default: all of the sweep")
    sources: tuple[str, ...] | None = identity(None, description="identification corpora; default: the evaluation one")

    @model_validator(mode="before")
    @classmethod
    def _singular(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("fractions"), str | int | float):
            data = {**data, "fractions": (data["fractions"],)}
        return data


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
    corpora: tuple[CorpusSpec, ...] = identity(min_length=1)
    studies: dict[Name, StudySpec] = identity(min_length=1)

    @property
    def own_cache(self) -> bool:
        """Whether the cache lies inside the store, and so moves with it."""
        return bool(self.store and self.cache and self.cache.is_relative_to(self.store))

    @model_validator(mode="after")
    def _names(self) -> Sweep:
        models, corpora = [m.name for m in self.models], [c.name for c in self.corpora]
        _distinct("models", models)
        _distinct("corpora", corpora)
        for title, study in self.studies.items():
            _listed(title, "models", study.models, models)
            _listed(title, "corpora", study.corpora, corpora)
            _listed(title, "sources", study.sources, corpora)
        return self


def _distinct(axis: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Misnamed(
                f"a second entry of {axis} is named {name!r}; give it another `name`", name, (), (axis, index)
            )


def _listed(study: str, axis: str, names: Sequence[str] | None, allowed: Sequence[str]) -> None:
    for index, name in enumerate(names or ()):
        if name not in allowed:
            raise Misnamed(f"unknown name {name!r} in {axis}", name, allowed, ("studies", study, axis, index))

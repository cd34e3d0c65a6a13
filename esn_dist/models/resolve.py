"""What a sweep's model is, without loading it: adapter, dtype, settings, gates.

Reads the catalogue and the checkpoint's `config.json`. Imports torch and transformers only where a decoder's gates
cannot be read off, so that the driver, which never runs a model, starts without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import read_config
from esn_dist.sweep.model_catalog import ANY, BUILTIN_ADAPTERS, GENERIC, MODELS, AdapterEntry
from esn_dist.sweep.spec import ModelSpec

# Decoders in which every layer has one MLP with SiLU gates of the stated width.
QWEN2_DECODERS = {"qwen2_5_omni_text", "qwen2"}


class GateShape(NamedTuple):
    """Decoder layers, gates in each (of all its experts together), and experts in each; 0 where layers are dense."""

    layers: int
    width: int
    experts: int = 0


def adapter_of(spec: ModelSpec, folder: Path) -> AdapterEntry:
    """The registered model's adapter, or the one that loads the architecture of the checkpoint in `folder`."""
    return MODELS[spec.model].adapter if spec.model in MODELS else adapter_of_config(read_config(folder))


def adapter_of_config(config: Mapping[str, Any]) -> AdapterEntry:
    """The adapter that claims the architecture of a `config.json`; the generic one where none does."""
    name = _model_for_architecture(config)
    return MODELS[name].adapter if name else BUILTIN_ADAPTERS[GENERIC]


def provider_identity(spec: ModelSpec, folder: Path) -> str:
    """Name, version and source digest of the package that the adapter comes from; "" for an adapter of this package."""
    name = spec.model if spec.model in MODELS else _model_for_architecture(read_config(folder))
    provider = MODELS.provider(name) if name else None
    return provider.identity if provider else ""


def _model_for_architecture(config: Mapping[str, Any]) -> str | None:
    """The first registered model whose adapter claims the architecture."""
    architecture = str((config.get("architectures") or [""])[0])
    usable = MODELS.usable().items()
    return next((name for name, entry in usable if architecture.startswith(entry.adapter.architectures)), None)


def dtype_name(spec: ModelSpec, folder: Path) -> str:
    """The compute dtype: the sweep's, the registered one, or that of the checkpoint (bfloat16 if it names none)."""
    if spec.dtype:
        return spec.dtype
    if spec.model in MODELS:
        return MODELS[spec.model].dtype
    full_config = read_config(folder)
    parts = [full_config, full_config.get("thinker_config") or {}, full_config.get("text_config") or {}]
    named = [part.get(key) for part in parts for key in ("dtype", "torch_dtype")]
    return next((name for name in named if name in ("float32", "bfloat16", "float16")), "bfloat16")


def model_settings(spec: ModelSpec, folder: Path) -> dict[str, str]:
    """What changes answers or counts but not weights: the sweep's choices over the adapter's defaults."""
    chosen = {
        "system_prompt": spec.system_prompt, "order": spec.order, "sparse_gates": "yes" if spec.sparse_gates else None
    }  # fmt: skip
    return {**adapter_of(spec, folder).settings, **{name: value for name, value in chosen.items() if value is not None}}


def model_attributes(spec: ModelSpec, folder: Path) -> dict[str, str]:
    """What the store keeps of a model besides weights and engine: its settings, and `provider` for a plug-in's."""
    provider = provider_identity(spec, folder)
    return {**model_settings(spec, folder), **({"provider": provider} if provider else {})}


def gate_shape(spec: ModelSpec, folder: Path) -> GateShape:
    """A model's gates, from the configuration of the checkpoint in `folder`.

    Raises:
        UserError: the model has no gates that can be studied; the message gives the reason.
    """
    config = read_config(folder)
    if (shape := _qwen2_gates(config)) is not None:
        return shape
    from esn_dist.models.loading import config_structure

    structure = config_structure(config, str(folder), spec.sparse_gates, spec.model)
    if structure.layers is None or structure.width is None:
        raise UserError(f"{structure.architecture} is not supported: {structure.reason}", where=str(folder))
    return GateShape(structure.layers, structure.width, structure.experts or 0)


def local_gate_shapes(models: Iterable[ModelSpec]) -> dict[str, tuple[int, int]]:
    """Layers and width, by name, of models that are not registered and have a local folder.

    Without the packages that run models only those of Qwen2 decoders are known; the others are left out.
    """
    shapes = {}
    for model in models:
        if model.model == ANY and model.source and Path(model.source).is_dir():
            with suppress(ImportError):
                shapes[model.name] = gate_shape(model, Path(model.source))[:2]
    return shapes


def _qwen2_gates(config: Mapping[str, Any]) -> GateShape | None:
    """The gates of a Qwen2 decoder; None for any other, which is built on the meta device instead."""
    thinker_config = config.get("thinker_config", config)
    text = thinker_config.get("text_config", {})
    if text.get("model_type") not in QWEN2_DECODERS or text.get("hidden_act", "silu") != "silu":
        return None
    return GateShape(int(text["num_hidden_layers"]), int(text["intermediate_size"]))

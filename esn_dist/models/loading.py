"""From a model's name to its loaded adapter on its devices, and to its structure without loading it.

Knows adapters only by the entries of the catalogue.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import torch

from esn_dist.errors import UserError
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.download import locate_checkpoint
from esn_dist.models.placement import GB, Placement
from esn_dist.models.resolve import adapter_of, adapter_of_config, dtype_name, model_settings, provider_identity
from esn_dist.models.structure import ModelStructure, UnknownArchitecture
from esn_dist.sweep.model_catalog import MODELS, AdapterEntry, ModelEntry
from esn_dist.sweep.spec import ModelSpec


def load(spec: ModelSpec, device: Literal["cpu", "cuda"]) -> AudioLM:
    """The model on `device`: on `spec.gpus` GPUs, with the rest offloaded where the sweep allows it.

    Raises:
        UserError: the checkpoint is not available or not whole, or the devices have too little memory.
    """
    memory = None if spec.memory is None else round(spec.memory * GB)
    placement = Placement(device, spec.gpus if device == "cuda" else 1, spec.offload, memory)
    folder = locate_checkpoint(spec)
    dtype: torch.dtype = getattr(torch, dtype_name(spec, folder))
    lm = adapter_class(adapter_of(spec, folder)).load(folder, dtype, placement, model_settings(spec, folder))
    lm.provider = provider_identity(spec, folder)
    return lm


def adapter_class(entry: AdapterEntry) -> type[AudioLM]:
    """The class of an adapter.

    Raises:
        UserError: there is no such class, or it is no `AudioLM`.
    """
    try:
        adapter = resolve_name(entry.class_path)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"adapter {entry.name!r} cannot be imported: {error}", where=entry.class_path) from error
    if not (isinstance(adapter, type) and issubclass(adapter, AudioLM)):
        raise UserError(
            f"adapter {entry.name!r} is a {type(adapter).__name__}", where=entry.class_path,
            expected="a subclass of esn_dist.models.audio_lm.AudioLM",
        )  # fmt: skip
    return adapter


def config_structure(config: dict[str, Any], where: str, sparse: bool, model: str = "") -> ModelStructure:
    """Gates and sizes of the model with this `config.json`, from its adapter.

    Args:
        where: folder or name, for messages.
        sparse: whether gates that a top-k sets to zero are wanted.
        model: name of a registered model. Where neither its adapter nor transformers can tell, its entry does.

    Raises:
        UserError: nothing tells the structure.
    """
    entry = MODELS.get(model)
    adapter = adapter_class(entry.adapter if entry else adapter_of_config(config))
    try:
        return adapter.structure(config, where, sparse)
    except UnknownArchitecture:
        if entry is None:
            raise
        return registered_structure(entry)


def registered_structure(entry: ModelEntry) -> ModelStructure:
    """What the entry of a registered model says of its structure."""
    return ModelStructure(entry.adapter.name, entry.layers, entry.width, entry.experts)


def spec_of(model: str) -> ModelSpec:
    """The spec of a registered name, or of a folder or hub id, whose architecture determines the adapter.

    Raises:
        UserError: it is none of these.
    """
    if model in MODELS:
        return ModelSpec.model_validate(model)
    if not Path(model).is_dir() and ("/" not in model or model.startswith((".", "/"))):
        raise UserError(
            f"unknown model {model!r}: it is no registered model, folder or hub id",
            expected=f"one of {', '.join(MODELS)}; or a folder, or OWNER/NAME",
        )
    return ModelSpec.model_validate({"name": "doctor", "source": model})

"""Examines a model before a GPU is touched: gates, sizes and memory; of a folder also its files, names and shapes.

Takes a registered name, a folder, a hub id or a model type of transformers. Weights are matched by the shards' headers
on the meta device, so that a missing file is noticed without minutes of loading.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from transformers import CONFIG_MAPPING

from esn_dist.errors import UserError, did_you_mean
from esn_dist.models.checkpoint import StoredWeights, read_config, stored_tensors
from esn_dist.models.download import package_folder
from esn_dist.models.loading import adapter_class, config_structure
from esn_dist.models.resolve import adapter_of_config
from esn_dist.models.structure import ModelStructure, UnknownArchitecture, default_config
from esn_dist.sweep.model_catalog import MODELS

DTYPE_BYTES = {"bfloat16": 2, "float32": 4}


def diagnose(model: str, sparse: bool = False) -> dict[str, Any]:
    """All facts about `model` that need no loading, ready for JSON.

    Args:
        sparse: whether gates that a top-k sets to zero are wanted, as by `sparse_gates` in a sweep.

    Raises:
        UserError: there is no such model, or a file of the folder is missing or damaged.
    """
    config, folder = _configuration(model)
    structure = config_structure(config, model, sparse, model)
    weights = None if folder is None else _weights(model, config, folder, structure)
    parameters = (weights and weights.parameters) or structure.parameters
    memory = {dtype: round(parameters * size / 1e9, 4) for dtype, size in DTYPE_BYTES.items()} if parameters else None
    return {
        "model": model, **_structure_facts(structure), "parameters": parameters,
        "weights": None if weights is None else asdict(weights), "deep": {}, "memory_gb": memory,
    }  # fmt: skip


def doctor_text(facts: dict[str, Any]) -> str:
    """The facts as lines of text."""
    lines = [f"{facts['model']}: {facts['architecture']}"]
    if facts["layers"]:
        experts = f", in {facts['experts']} experts" if facts["experts"] else ""
        lines.append(f"  gates       {facts['layers']} layers × {facts['width']} = {facts['neurons']:,}{experts}")
    if facts["form"]:
        lines.append(f"  structure   {facts['form']}, activation {facts['activation']}")
    if facts["parameters"]:
        lines.append(f"  parameters  {facts['parameters']:,}")
        needed = ", ".join(f"{size:.3g} GB in {dtype}" for dtype, size in facts["memory_gb"].items())
        lines.append(f"  memory      {needed}, for weights alone")
    if facts["weights"]:
        lines.append(f"  weights     {facts['weights']['tensors']} tensors in {facts['weights']['files']} files, whole")
    lines.append("  supported   " + ("yes" if facts["supported"] else f"no: {facts['reason']}"))
    for claim, holds in facts["deep"].items():
        lines.append(f"  deep        {claim.replace('_', ' ')}: {'yes' if holds else 'NO'}")
    return "\n".join(lines)


def _structure_facts(structure: ModelStructure) -> dict[str, Any]:
    return {**asdict(structure), "neurons": structure.neurons, "supported": structure.supported}


def _configuration(model: str) -> tuple[dict[str, Any], Path | None]:
    """The model's `config.json`, and its folder if that is on this machine."""
    source = MODELS[model].source if model in MODELS else model
    folder = package_folder(source) or Path(source)
    if folder.is_dir():
        return read_config(folder), folder
    if source in CONFIG_MAPPING:
        return default_config(source), None
    if "/" not in source or source.startswith((".", "/")):
        hint = did_you_mean(source, [*MODELS, *CONFIG_MAPPING])
        raise UserError(
            f"{source!r} is no registered model, folder, hub id or model type of transformers.{hint}",
            expected=f"one of {', '.join(MODELS)}; or a folder, or OWNER/NAME",
        )
    try:
        return read_config(Path(hf_hub_download(source, "config.json")).parent), None
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the download of its config.json from the hub failed: {error}", where=source, fix="give a local folder"
        ) from None


def _weights(model: str, config: dict[str, Any], folder: Path, structure: ModelStructure) -> StoredWeights:
    """Counts of the folder's tensors; of a supported model every weight is found first.

    An adapter without a class in transformers and without a search of its own has only its files checked.
    """
    entry = MODELS[model].adapter if model in MODELS else adapter_of_config(config)
    if structure.supported:
        try:
            return adapter_class(entry).find_weights(config, folder)
        except UnknownArchitecture:
            pass
    return StoredWeights.of(stored_tensors(folder).values(), structure.parameters)

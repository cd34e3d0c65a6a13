"""Looks a model over before a GPU is touched: gates, sizes, memory from the configuration; files, names and shapes too.

Takes a registered name, a folder, a hub id or a model type of transformers. Of a folder every shard's header is read
and every wanted weight looked for, on the meta device: minutes of loading are not needed to find a missing file.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from transformers import CONFIG_MAPPING

from esn_dist.errors import UserError, did_you_mean
from esn_dist.models.checkpoint import read_config, stored_tensors
from esn_dist.models.download import package_folder
from esn_dist.models.from_pretrained import quiet, refuse_missing
from esn_dist.models.kimi_audio.config import ARCHITECTURE as KIMI
from esn_dist.models.kimi_audio.config import read_kimi
from esn_dist.models.kimi_audio.network import KimiNetwork
from esn_dist.models.kimi_audio.weights import find_weights, speech_tokenizer_folder
from esn_dist.models.loading import UNNEEDED_WEIGHTS
from esn_dist.models.structure import ModelStructure, default_config, inspect_config, model_class
from esn_dist.sweep.model_catalog import known_models


def diagnose(model: str, sparse: bool = False) -> dict[str, Any]:
    """Everything that is found of `model`, as JSON-ready facts.

    Args:
        sparse: whether gates that a top-k sets to zero are asked for, as by `sparse_gates` in a sweep.

    Raises:
        UserError: there is no such model, or the folder's files are not as they should be.
    """
    raw, folder = _configuration(model)
    structure = inspect_config(raw, model, sparse)
    facts = {"model": model, **asdict(structure), "neurons": structure.neurons, "weights": None, "deep": {}}
    if folder is not None:
        facts["weights"] = _weights(raw, folder, structure)
    if facts["weights"] and facts["weights"]["parameters"]:
        facts["parameters"] = facts["weights"]["parameters"]
    size = facts["parameters"]
    facts["memory_gb"] = {d: round(size * b / 1e9, 4) for d, b in (("bfloat16", 2), ("float32", 4))} if size else None
    return facts


def doctor_text(facts: dict[str, Any]) -> str:
    """The facts for a person."""
    lines = [f"{facts['model']}: {facts['architecture']}"]
    if facts["layers"]:
        experts = f", in {facts['experts']} experts" if facts["experts"] else ""
        lines.append(f"  gates       {facts['layers']} layers × {facts['width']} = {facts['neurons']:,}{experts}")
        lines.append(f"  structure   {facts['form']}, activation {facts['activation']}")
    if facts["parameters"]:
        lines.append(f"  parameters  {facts['parameters']:,}")
        needed = ", ".join(f"{size:.3g} GB in {dtype}" for dtype, size in facts["memory_gb"].items())
        lines.append(f"  memory      {needed}, for weights alone")
    if facts["weights"]:
        lines.append(f"  weights     {facts['weights']['tensors']} tensors in {facts['weights']['files']} files, whole")
    lines.append("  supported   " + ("yes" if facts["supported"] else f"no: {facts['reason']}"))
    for claim, held in facts["deep"].items():
        lines.append(f"  deep        {claim.replace('_', ' ')}: {'yes' if held else 'NO'}")
    return "\n".join(lines)


def _configuration(model: str) -> tuple[dict[str, Any], Path | None]:
    """The model's `config.json`, and its folder where it has one here."""
    source = str(known_models()[model]["source"]) if model in known_models() else model
    folder = package_folder(source) or Path(source)
    if folder.is_dir():
        return read_config(folder), folder
    if source in CONFIG_MAPPING:
        return default_config(source), None
    if "/" not in source or source.startswith((".", "/")):
        hint = did_you_mean(source, [*known_models(), *CONFIG_MAPPING])
        raise UserError(
            f"{source!r} is no registered model, folder, hub id or model type of transformers.{hint}",
            expected=f"one of {', '.join(known_models())}; or a folder, or OWNER/NAME",
        )
    try:
        return read_config(Path(hf_hub_download(source, "config.json")).parent), None
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"its config.json cannot be had from the hub: {error}", where=source, fix="give a downloaded folder"
        ) from None


def _weights(raw: dict[str, Any], folder: Path, structure: ModelStructure) -> dict[str, Any]:
    """What the folder's files hold, every wanted name and shape found."""
    stored = list(stored_tensors(folder).values())
    parameters = structure.parameters
    if raw.get("architectures") == [KIMI]:
        glm = speech_tokenizer_folder(folder)
        with torch.device("meta"):
            network = KimiNetwork(read_kimi(folder, glm))
        stored = [tensor for _, tensor in find_weights(network, folder, glm).values()]
        parameters = sum(p.numel() for p in network.parameters())
    elif structure.supported:
        _find_all(raw, folder)
    return {"tensors": len(stored), "files": len({s.file for s in stored}), "parameters": parameters}


def _find_all(raw: dict[str, Any], folder: Path) -> None:
    """Let transformers match the file's names to the model's, without reading a weight."""
    with quiet():
        _, report = model_class(raw, str(folder)).from_pretrained(
            folder, device_map={"": "meta"}, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    refuse_missing(report, folder, UNNEEDED_WEIGHTS)

"""Loads Kimi-Audio from its published files: by their index, safetensors only, and nothing that text does not need.

Three folders: the model's, `whisper-large-v3` in it, and GLM-4-Voice's speech tokenizer. The 19 GB detokenizer and the
vocoder beside them are pickles and are never opened.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import dispatch_model, init_empty_weights
from safetensors import safe_open
from torch import Tensor

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import Stored, require, stored_tensors
from esn_dist.models.download import GLM
from esn_dist.models.kimi_audio.config import WHISPER, KimiConfig
from esn_dist.models.kimi_audio.network import KimiNetwork
from esn_dist.models.placement import Placement

FULL_PRECISION = "speech_tokenizer."


def speech_tokenizer_folder(folder: Path) -> Path:
    """Where the speech tokenizer lies: inside the model's folder.

    Raises:
        UserError: it does not.
    """
    if (place := folder / GLM).is_dir():
        return place
    raise UserError(
        "Kimi-Audio's speech tokenizer, a repository of its own, is missing", where=str(place),
        fix=f"hf download THUDM/glm-4-voice-tokenizer --local-dir {place}",
    )  # fmt: skip


def find_weights(network: KimiNetwork, folder: Path, glm: Path) -> dict[str, tuple[str, Stored]]:
    """Each parameter's stored name and place, every file, name and shape checked; `network` may be on meta.

    Raises:
        UserError: a file, a name or a shape is not as published.
    """
    places = {"": folder, WHISPER: folder / WHISPER, GLM: glm}
    stored = {name: stored_tensors(place) for name, place in places.items()}
    found: dict[str, tuple[str, Stored]] = {}
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    wanted: dict[str, dict[str, tuple[int, ...]]] = {name: {} for name in places}
    for name, place, spellings in network.stored_names():
        spelling = next((s for s in spellings if s in stored[place]), spellings[0])
        wanted[place][spelling] = shapes[name]
        if spelling in stored[place]:
            found[name] = (spelling, stored[place][spelling])
    for place, names in wanted.items():
        require(stored[place], names, places[place])
    return found


def load_network(config: KimiConfig, folder: Path, glm: Path, dtype: torch.dtype, placement: Placement) -> Any:
    """The network where `placement` puts it: the speech tokenizer in float32, the rest in `dtype`."""
    with init_empty_weights():  # buffers stay real: the rotary table is in no file
        network = KimiNetwork(config)
    found = find_weights(network, folder, glm)
    device_map = placement.device_map(network, dtype)
    whole = device_map.get("")
    network.load_state_dict(_read(found, dtype, "cpu" if whole is None else whole), assign=True)
    network.eval()
    if whole is not None:
        return network.to(whole)  # the buffers; the weights are there already
    offloaded = tempfile.mkdtemp(prefix="esn-dist-") if "disk" in device_map.values() else None
    placed = dispatch_model(network, device_map, main_device=_main(device_map), offload_dir=offloaded)
    if offloaded:
        weakref.finalize(placed, shutil.rmtree, offloaded, ignore_errors=True)
    return placed


def _main(device_map: Mapping[str, int | str]) -> int | str:
    """Where offloaded parts are executed: the first GPU, or the CPU."""
    return next((device for device in device_map.values() if isinstance(device, int)), "cpu")


def _read(found: Mapping[str, tuple[str, Stored]], dtype: torch.dtype, device: int | str) -> dict[str, Tensor]:
    """The tensors, file by file, each in its compute dtype."""
    of_file: dict[Path, list[tuple[str, str]]] = {}
    for name, (spelling, stored) in found.items():
        of_file.setdefault(stored.file, []).append((name, spelling))
    state = {}
    for file, names in sorted(of_file.items()):
        # `whisper-large-v3` was saved without the metadata that from_pretrained asks for; safe_open does not.
        with safe_open(file, "pt", device=str(device) if device == "cpu" else f"cuda:{device}") as tensors:
            for name, spelling in names:
                full = name.startswith(FULL_PRECISION)
                state[name] = tensors.get_tensor(spelling).to(torch.float32 if full else dtype)
    return state

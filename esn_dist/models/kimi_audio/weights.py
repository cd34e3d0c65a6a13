"""Loads Kimi-Audio from its published files: by their index, safetensors only, and only what text output needs.

Three folders: the model's, its subfolder `whisper-large-v3`, and GLM-4-Voice's speech tokenizer. The 19 GB detokenizer
and the vocoder are pickles and are never opened.
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
from esn_dist.models.checkpoint import StoredTensor, StoredWeights, require, stored_tensors
from esn_dist.models.kimi_audio.config import SPEECH_TOKENIZER, WHISPER, KimiConfig, read_kimi
from esn_dist.models.kimi_audio.network import KimiNetwork
from esn_dist.models.placement import Placement

FULL_PRECISION = "speech_tokenizer."


def speech_tokenizer_folder(folder: Path) -> Path:
    """Folder of the speech tokenizer inside the model's folder.

    Raises:
        UserError: the folder is missing.
    """
    if (subfolder := folder / SPEECH_TOKENIZER).is_dir():
        return subfolder
    raise UserError(
        "Kimi-Audio's speech tokenizer, which has its own repository, is missing", where=str(subfolder),
        fix=f"hf download THUDM/glm-4-voice-tokenizer --local-dir {subfolder}",
    )  # fmt: skip


def locate_tensors(network: KimiNetwork, folder: Path, glm: Path) -> dict[str, tuple[str, StoredTensor]]:
    """Stored name and tensor of each parameter, with every file, name and shape checked; `network` may be on meta.

    Raises:
        UserError: a file, a name or a shape is not as published.
    """
    folders = {"": folder, WHISPER: folder / WHISPER, SPEECH_TOKENIZER: glm}
    stored = {name: stored_tensors(path) for name, path in folders.items()}
    located: dict[str, tuple[str, StoredTensor]] = {}
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    wanted: dict[str, dict[str, tuple[int, ...]]] = {name: {} for name in folders}
    # 1. Of the spellings that circulate, each parameter has the one that its folder's files use.
    for name, key, spellings in network.stored_names():
        spelling = next((s for s in spellings if s in stored[key]), spellings[0])
        wanted[key][spelling] = shapes[name]
        if spelling in stored[key]:
            located[name] = (spelling, stored[key][spelling])
    # 2. Missing names and other shapes are refused, folder by folder.
    for key, names in wanted.items():
        require(stored[key], names, folders[key])
    return located


def checkpoint_weights(folder: Path) -> StoredWeights:
    """Find every weight of the checkpoint in `folder`, without reading one.

    Raises:
        UserError: a file, a name or a shape is not as published.
    """
    glm = speech_tokenizer_folder(folder)
    with torch.device("meta"):
        network = KimiNetwork(read_kimi(folder, glm))
    tensors = [tensor for _, tensor in locate_tensors(network, folder, glm).values()]
    return StoredWeights.of(tensors, sum(p.numel() for p in network.parameters()))


def load_network(config: KimiConfig, folder: Path, glm: Path, dtype: torch.dtype, placement: Placement) -> Any:
    """The network on the devices of `placement`: the speech tokenizer in float32, the rest in `dtype`."""
    with init_empty_weights():  # buffers stay real: no file holds the rotary table
        network = KimiNetwork(config)
    located = locate_tensors(network, folder, glm)
    device_map = placement.device_map(network, dtype)
    single_device = device_map.get("")
    network.load_state_dict(
        _read_tensors(located, dtype, "cpu" if single_device is None else single_device), assign=True
    )
    network.eval()
    if single_device is not None:
        return network.to(single_device)  # moves the buffers; the weights are there already
    offloaded = tempfile.mkdtemp(prefix="esn-dist-") if "disk" in device_map.values() else None
    placed = dispatch_model(network, device_map, main_device=_main(device_map), offload_dir=offloaded)
    if offloaded:
        weakref.finalize(placed, shutil.rmtree, offloaded, ignore_errors=True)
    return placed


def _main(device_map: Mapping[str, int | str]) -> int | str:
    """Device that executes offloaded modules: the first GPU, or the CPU."""
    return next((device for device in device_map.values() if isinstance(device, int)), "cpu")


def _read_tensors(
    located: Mapping[str, tuple[str, StoredTensor]], dtype: torch.dtype, device: int | str
) -> dict[str, Tensor]:
    """The tensors, file by file, each in its compute dtype."""
    of_file: dict[Path, list[tuple[str, str]]] = {}
    for name, (spelling, stored) in located.items():
        of_file.setdefault(stored.file, []).append((name, spelling))
    state = {}
    for file, names in sorted(of_file.items()):
        # `whisper-large-v3` has none of the metadata that from_pretrained requires; safe_open does not need it.
        with safe_open(file, "pt", device=str(device) if device == "cpu" else f"cuda:{device}") as tensors:
            for name, spelling in names:
                keeps_precision = name.startswith(FULL_PRECISION)
                state[name] = tensors.get_tensor(spelling).to(torch.float32 if keeps_precision else dtype)
    return state

"""From a model's name to its loaded adapter: where the weights are, what they hash to, where accelerate puts them."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from esn_dist.errors import UserError
from esn_dist.models.anatomy import examine
from esn_dist.models.audio_flamingo_3 import AudioFlamingo3
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.checkpoint import read_config, stored_tensors
from esn_dist.models.generic import GenericAudioLM
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.kimi_audio.config import GLM
from esn_dist.models.placement import GB, Placement
from esn_dist.models.qwen2_5_omni import Qwen25Omni
from esn_dist.sweep.spec import ModelSpec
from esn_dist.sweep.words import known_models

ADAPTERS: dict[str, type[AudioLM]] = {
    "qwen2.5-omni": Qwen25Omni,
    "audio-flamingo-3": AudioFlamingo3,
    "kimi-audio": KimiAudio,
    "generic": GenericAudioLM,
}
# Never a pickle, never code.
DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tiktoken.model")
UNNEEDED = ("think/*", "audio_detokenizer/*", "vocoder/*")  # Flamingo's thinking adapter, Kimi's speech output
UNNEEDED_WEIGHTS = ("model.visual.",)  # vision towers, which an audio question never reaches
# Repositories that a model's folder holds as a subfolder, at the revision that was looked at.
COMPANIONS = {"kimi-audio": (GLM, "THUDM/glm-4-voice-tokenizer", "a5f2404e63c84e92f5238908e1706316324ebafa")}
SAMPLES, SAMPLE_BYTES = 64, 65_536


def spec_of(model: str) -> ModelSpec:
    """The spec of a registered name, or of a folder, whose adapter is told by its architecture.

    Raises:
        UserError: neither.
    """
    if model in known_models():
        return ModelSpec.model_validate(model)
    if not Path(model).is_dir():
        raise UserError(f"{model!r} is neither a registered model nor a folder", expected=", ".join(known_models()))
    architecture = str((read_config(Path(model)).get("architectures") or [""])[0])
    starts = {"Qwen2_5Omni": "qwen2.5-omni-7b", "AudioFlamingo3": "audio-flamingo-3", "MoonshotKimia": "kimi-audio-7b"}
    like = next((name for start, name in starts.items() if architecture.startswith(start)), "qwen2-audio-7b")
    return ModelSpec.model_validate({"name": "doctor", "model": like, "source": model})


def locate(spec: ModelSpec) -> Path:
    """The local folder of the model's checkpoint, downloaded where the source is a hub id.

    Raises:
        UserError: the folder or the hub repository cannot be had, or its files are not whole safetensors.
    """
    source = spec.source or known_models()[spec.model]["source"]
    if shipped := package_folder(source):
        folder = shipped
    elif Path(source).is_dir():
        folder = Path(source)
    else:
        folder = _download(spec, source)
    stored_tensors(folder)
    return folder


def package_folder(source: str) -> Path | None:
    """The folder of a checkpoint that is shipped in this package."""
    if source.startswith("package:"):
        return Path(str(files("esn_dist"))) / source.removeprefix("package:")
    return None


def _download(spec: ModelSpec, source: str) -> Path:
    options: dict[str, Any] = {"allow_patterns": list(DOWNLOADED), "ignore_patterns": list(UNNEEDED)}
    try:
        folder = Path(snapshot_download(source, revision=spec.revision, **options))
        if companion := COMPANIONS.get(known_models()[spec.model]["adapter"]):
            subfolder, repository, revision = companion
            snapshot_download(repository, revision=revision, local_dir=folder / subfolder, **options)
        return folder
    except GatedRepoError:
        raise UserError(
            f"model {spec.name!r}: the repository is gated and this machine has no token that opens it", where=source,
            fix="accept its terms on the hub, then `hf auth login`; or give a local folder as `source`",
        ) from None  # fmt: skip
    except RepositoryNotFoundError:
        raise UserError(
            f"model {spec.name!r}: neither a folder here nor a repository on the hub", where=source,
            fix="give the path of a folder or the id OWNER/NAME as `source`",
        ) from None  # fmt: skip
    except Exception as error:
        raise UserError(
            f"model {spec.name!r}: cannot be had from the hub: {error}", where=source,
            fix="give a local folder as `source`",
        ) from None  # fmt: skip


def fingerprint(folder: Path) -> str:
    """Hash of a checkpoint: its small files whole; of each weights file the size and 64 evenly spaced samples.

    A whole hash of a 7B checkpoint takes a minute; samples see every retraining and almost every damage.
    """
    total = hashlib.sha256()
    for path in sorted(p for pattern in DOWNLOADED for p in folder.rglob(pattern)):
        size = path.stat().st_size
        total.update(f"{path.relative_to(folder)}:{size}".encode())
        with path.open("rb") as file:
            if size <= SAMPLES * SAMPLE_BYTES:
                total.update(file.read())
                continue
            for index in range(SAMPLES):
                file.seek(index * (size - SAMPLE_BYTES) // (SAMPLES - 1))
                total.update(file.read(SAMPLE_BYTES))
    return total.hexdigest()


def dtype_of(spec: ModelSpec) -> str:
    """The compute dtype's name: the spec's, or the registered one."""
    return str(spec.dtype or known_models()[spec.model]["dtype"])


def load(spec: ModelSpec, device: Literal["cpu", "cuda"]) -> AudioLM:
    """The model on `device`: over `spec.gpus` GPUs, with a rest offloaded where the spec allows it."""
    memory = None if spec.memory is None else round(spec.memory * GB)
    placement = Placement(device, spec.gpus if device == "cuda" else 1, spec.offload, memory)
    return _adapter(spec).load(locate(spec), getattr(torch, dtype_of(spec)), placement, settings(spec))


def settings(spec: ModelSpec) -> dict[str, str]:
    """What changes answers but not weights: the spec's choices over the adapter's defaults."""
    chosen = {"system_prompt": spec.system_prompt, "order": spec.order}
    return {**_adapter(spec).settings, **{name: value for name, value in chosen.items() if value is not None}}


def shape(folder: Path) -> tuple[int, int]:
    """Decoder layers and gates per layer, from the checkpoint's configuration alone.

    Raises:
        UserError: the model has no gates that could be studied; says why.
    """
    anatomy = examine(read_config(folder), str(folder))
    if anatomy.layers is None or anatomy.width is None:
        raise UserError(f"{anatomy.architecture} is not supported: {anatomy.reason}", where=str(folder))
    return anatomy.layers, anatomy.width


def _adapter(spec: ModelSpec) -> type[AudioLM]:
    return ADAPTERS[known_models()[spec.model]["adapter"]]

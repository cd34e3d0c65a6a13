"""Where a checkpoint is and what it is, without loading it: folder, fingerprint, settings, shape.

Light where it can be, so that the driver, which never runs a model, need not wait for torch and transformers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import read_config, stored_tensors
from esn_dist.sweep.model_catalog import ANY, known_models
from esn_dist.sweep.spec import ModelSpec

# Each adapter's defaults for what changes answers but not weights; kept in the store.
DEFAULTS: dict[str, dict[str, str]] = {
    "qwen2.5-omni": {"system_prompt": "You are a helpful assistant.", "order": "audio, text"},
    "audio-flamingo-3": {"system_prompt": "You are a helpful assistant.", "order": "audio, text"},
    "kimi-audio": {"system_prompt": "", "order": "text, audio"},
    "generic": {"system_prompt": "", "order": "audio, text"},
}
# How the architectures begin that have an adapter of their own.
ARCHITECTURES = {"Qwen2_5Omni": "qwen2.5-omni", "AudioFlamingo3": "audio-flamingo-3", "MoonshotKimia": "kimi-audio"}
# Never a pickle, never code.
DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tiktoken.model")
UNNEEDED = ("think/*", "audio_detokenizer/*", "vocoder/*")  # Flamingo's thinking adapter, Kimi's speech output
# Repositories that a model's folder holds as a subfolder, at the revision that was looked at.
GLM = "glm-4-voice-tokenizer"
COMPANIONS = {"kimi-audio": (GLM, f"THUDM/{GLM}", "a5f2404e63c84e92f5238908e1706316324ebafa")}
SAMPLES, SAMPLE_BYTES = 64, 65_536


def locate(spec: ModelSpec) -> Path:
    """The local folder of the model's checkpoint, downloaded where the source is a hub id.

    Raises:
        UserError: the folder or the hub repository cannot be had, or its files are not whole safetensors.
    """
    source = spec.source or str(known_models()[spec.model]["source"])
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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    options: dict[str, Any] = {"allow_patterns": list(DOWNLOADED), "ignore_patterns": list(UNNEEDED)}
    try:
        folder = Path(snapshot_download(source, revision=spec.revision, **options))
        if companion := COMPANIONS.get(adapter_of(spec, folder)):
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

    A whole hash of a 7B checkpoint takes a minute; samples see every retraining and almost every damage. What our
    download leaves out does not count, so that a full clone of the same weights has the same fingerprint.
    """
    total = hashlib.sha256()
    found = {p.relative_to(folder) for pattern in DOWNLOADED for p in folder.rglob(pattern)}
    for name in sorted(n for n in found if not any(n.match(pattern) for pattern in UNNEEDED)):
        path = folder / name
        size = path.stat().st_size
        total.update(f"{name}:{size}".encode())
        with path.open("rb") as file:
            if size <= SAMPLES * SAMPLE_BYTES:
                total.update(file.read())
                continue
            for index in range(SAMPLES):
                file.seek(index * (size - SAMPLE_BYTES) // (SAMPLES - 1))
                total.update(file.read(SAMPLE_BYTES))
    return total.hexdigest()


def adapter_of(spec: ModelSpec, folder: Path) -> str:
    """Name of the adapter: the registered model's, or the one for the architecture that the folder names."""
    if spec.model in known_models():
        return str(known_models()[spec.model]["adapter"])
    architecture = str((read_config(folder).get("architectures") or [""])[0])
    return next((name for start, name in ARCHITECTURES.items() if architecture.startswith(start)), "generic")


def dtype_of(spec: ModelSpec, folder: Path) -> str:
    """The compute dtype's name: the spec's, the registered one, or that of the checkpoint (bfloat16 if it has none)."""
    if spec.dtype or spec.model in known_models():
        return str(spec.dtype or known_models()[spec.model]["dtype"])
    whole = read_config(folder)
    parts = [whole, whole.get("thinker_config") or {}, whole.get("text_config") or {}]
    named = [part.get(key) for part in parts for key in ("dtype", "torch_dtype")]
    return next((name for name in named if name in ("float32", "bfloat16", "float16")), "bfloat16")


def settings(spec: ModelSpec, folder: Path) -> dict[str, str]:
    """What changes answers or counts but not weights: the spec's choices over the adapter's defaults."""
    chosen = {
        "system_prompt": spec.system_prompt, "order": spec.order, "sparse_gates": "yes" if spec.sparse_gates else None
    }  # fmt: skip
    return {
        **DEFAULTS[adapter_of(spec, folder)],
        **{name: value for name, value in chosen.items() if value is not None},
    }


class Shape(NamedTuple):
    """Decoder layers, gates in each (of all its experts together), and experts in each; 0 where layers are dense."""

    layers: int
    width: int
    experts: int = 0


def shape(folder: Path, sparse: bool = False) -> Shape:
    """A model's gates, from the checkpoint's configuration alone.

    Raises:
        UserError: the model has no gates that could be studied; says why.
    """
    config = read_config(folder)
    if (direct := _gated_qwen2(config)) is not None:
        return direct
    from esn_dist.models.anatomy import examine

    anatomy = examine(config, str(folder), sparse)
    if anatomy.layers is None or anatomy.width is None:
        raise UserError(f"{anatomy.architecture} is not supported: {anatomy.reason}", where=str(folder))
    return Shape(anatomy.layers, anatomy.width, anatomy.experts or 0)


def local_shapes(models: Iterable[ModelSpec]) -> dict[str, tuple[int, int]]:
    """Layers and width, by name, of models that no registry knows and whose folder is here.

    A light install reads those of Qwen2 decoders only; what it cannot tell is left out.
    """
    found = {}
    for model in models:
        if model.model == ANY and model.source and Path(model.source).is_dir():
            with suppress(ImportError):
                found[model.name] = shape(Path(model.source), model.sparse_gates)[:2]
    return found


# The models whose decoder is Qwen2: every layer has one gated MLP of the stated width, with SiLU.
_QWEN2_DECODERS = {"qwen2_5_omni_text", "qwen2"}


def _gated_qwen2(config: dict[str, Any]) -> Shape | None:
    """Layers and gates of a Qwen2 decoder, read off; None for any other, which is built on the meta device."""
    whole = config.get("thinker_config", config)
    text = whole.get("text_config", {})
    if text.get("model_type") not in _QWEN2_DECODERS or text.get("hidden_act", "silu") != "silu":
        return None
    return Shape(int(text["num_hidden_layers"]), int(text["intermediate_size"]))

"""Finds a model's checkpoint folder, downloads it where the source is a hub id, and takes its fingerprint.

Never downloads a pickle or code. Imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from esn_dist.errors import UserError
from esn_dist.models.checkpoint import stored_tensors
from esn_dist.models.resolve import adapter_name
from esn_dist.sweep.model_catalog import known_models
from esn_dist.sweep.spec import ModelSpec

# Never a pickle, never code.
DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tiktoken.model")
UNNEEDED = ("think/*", "audio_detokenizer/*", "vocoder/*")  # Flamingo's thinking adapter, Kimi's speech output
# Repositories that a model's folder holds as a subfolder, at the revision that was looked at.
GLM = "glm-4-voice-tokenizer"
COMPANIONS = {"kimi-audio": (GLM, f"THUDM/{GLM}", "a5f2404e63c84e92f5238908e1706316324ebafa")}
SAMPLES, SAMPLE_BYTES = 64, 65_536


def locate_checkpoint(spec: ModelSpec) -> Path:
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
        if companion := COMPANIONS.get(adapter_name(spec, folder)):
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


def weights_fingerprint(folder: Path) -> str:
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

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
from esn_dist.models.resolve import adapter_of
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS, MODELS, AdapterEntry
from esn_dist.sweep.spec import ModelSpec

DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tiktoken.model")
# Left out for every model, as it was when fingerprints of older stores were taken.
UNNEEDED = tuple(pattern for adapter in BUILTIN_ADAPTERS.values() for pattern in adapter.unneeded_files)
SAMPLES, SAMPLE_BYTES = 64, 65_536


def locate_checkpoint(spec: ModelSpec) -> Path:
    """The local folder of the model's checkpoint, downloaded where the source is a hub id.

    Raises:
        UserError: the folder or repository is not available, or its files are not whole safetensors.
    """
    source = spec.source or MODELS[spec.model].source
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
    """The downloaded repository, with the adapter's companion repository in its subfolder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    registered = MODELS[spec.model].adapter.unneeded_files if spec.model in MODELS else ()
    options: dict[str, Any] = {
        "allow_patterns": list(DOWNLOADED), "ignore_patterns": list(dict.fromkeys((*UNNEEDED, *registered)))
    }  # fmt: skip
    try:
        folder = Path(snapshot_download(source, revision=spec.revision, **options))
        if companion := adapter_of(spec, folder).companion:
            subfolder = folder / companion.folder
            snapshot_download(companion.repository, revision=companion.revision, local_dir=subfolder, **options)
        return folder
    except GatedRepoError:
        raise UserError(
            f"model {spec.name!r}: the repository is gated, and no valid Hugging Face token was found", where=source,
            fix="accept its terms on the hub, then `hf auth login`; or give a local folder as `source`",
        ) from None  # fmt: skip
    except RepositoryNotFoundError:
        raise UserError(
            f"model {spec.name!r}: neither a local folder nor a repository on the hub", where=source,
            fix="give the path of a folder or the id OWNER/NAME as `source`",
        ) from None  # fmt: skip
    except Exception as error:
        raise UserError(
            f"model {spec.name!r}: the download from the hub failed: {error}", where=source,
            fix="give a local folder as `source`",
        ) from None  # fmt: skip


def weights_fingerprint(folder: Path, adapter: AdapterEntry) -> str:
    """Hash of a checkpoint: small files whole; of each weights file the size and 64 evenly spaced samples.

    A whole hash of a 7B checkpoint takes a minute. Samples detect every retraining and almost every damage. Files that
    are never downloaded do not count, so a full clone of the same weights has the same fingerprint.
    """
    total, unneeded = hashlib.sha256(), (*UNNEEDED, *adapter.unneeded_files)
    names = {path.relative_to(folder) for pattern in DOWNLOADED for path in folder.rglob(pattern)}
    for name in sorted(name for name in names if not any(name.match(pattern) for pattern in unneeded)):
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

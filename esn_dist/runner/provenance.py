"""Provenance: who ran what, where, and with which versions. One JSON file per run, outside of `data.zarr`.

Knows no units.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from esn_dist.store.folder import PROVENANCE, StoreFolder

PACKAGES = ("esn-dist", "torch", "transformers", "accelerate", "ray", "zarr", "numpy", "tokenizers", "safetensors")


@contextmanager
def recorded_provenance(folder: StoreFolder, text: str) -> Iterator[None]:
    """Write the file of a run at its start, and again with its end, however it ends.

    Args:
        text: the YAML of the sweep.
    """
    started = datetime.now(UTC)
    record: dict[str, object] = {"started": started.isoformat(timespec="seconds"), **_environment(), "sweep": text}
    key = f"{PROVENANCE}/{started:%Y%m%dT%H%M%S}-{os.getpid()}.json"
    _write(folder, key, record)
    try:
        yield
        record["ended"] = "to its end"
    except BaseException as error:
        record["ended"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        _write(folder, key, {**record, "finished": datetime.now(UTC).isoformat(timespec="seconds")})


def _write(folder: StoreFolder, key: str, record: dict[str, object]) -> None:
    folder.backend.write(key, json.dumps(record, indent=1).encode())


def _environment() -> dict[str, object]:
    return {
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "command": sys.argv,
        "git": _commit(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    """The commit of this checkout, with "-dirty" if it has uncommitted changes; None for an installed wheel."""
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

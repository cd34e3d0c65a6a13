"""Who ran what, where, with which versions: one JSON file per run beside the data, never inside it."""

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
from typing import Any

from esn_dist.store.disk import replace_bytes
from esn_dist.store.folder import StoreFolder

PACKAGES = ("esn-dist", "torch", "transformers", "accelerate", "ray", "zarr", "numpy", "tokenizers", "safetensors")


@contextmanager
def recorded(folder: StoreFolder, text: str) -> Iterator[None]:
    """Write the run's file at its start, and again with its end, however it ends."""
    started = datetime.now(UTC)
    facts: dict[str, Any] = {"started": started.isoformat(timespec="seconds"), **_circumstances(), "sweep": text}
    path = folder.provenance / f"{started:%Y%m%dT%H%M%S}-{os.getpid()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, facts)
    try:
        yield
        facts["ended"] = "to its end"
    except BaseException as error:
        facts["ended"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        _write(path, {**facts, "finished": datetime.now(UTC).isoformat(timespec="seconds")})


def _write(path: Path, facts: dict[str, Any]) -> None:
    replace_bytes(path, json.dumps(facts, indent=1).encode())


def _circumstances() -> dict[str, Any]:
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
    """The commit of the checkout that runs, marked where it has uncommitted changes; None for an installed wheel."""
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

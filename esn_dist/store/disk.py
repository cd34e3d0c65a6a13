"""Files that survive a kill and a power cut: written beside, synced, then renamed into place.

Knows nothing of what the files hold. Zarr itself never calls fsync.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

PARTIAL = ".partial"


def replace_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: whoever looks sees the old file or the whole new one."""
    partial = write_partial(path, content)
    os.replace(partial, path)
    sync(path.parent)


def write_partial(path: Path, content: bytes) -> Path:
    """A synced file beside `path`, to be renamed or linked to it. `sweep_partials` removes forgotten ones."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with partial.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return partial


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path], root: Path) -> None:
    """Flush `files` and every folder between them and `root`, each once."""
    folders: set[Path] = set()
    for file in files:
        sync(file)
        folders.update(parent for parent in file.parents if parent.is_relative_to(root))
    for folder in sorted(folders, reverse=True):
        sync(folder)


def files_under(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, in no order."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def sweep_partials(folder: Path) -> int:
    """Remove what killed writers (ours and Zarr's) left below `folder`; returns how many files."""
    swept = 0
    for file in files_under(folder):
        if file.name.endswith(PARTIAL):
            file.unlink(missing_ok=True)
            swept += 1
    return swept

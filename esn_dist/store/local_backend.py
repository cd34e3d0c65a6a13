"""The storage backend of a local or shared file system: partial files, synced, then renamed into place.

A kill or a power cut at any moment leaves the old file or the whole new one. Needs a file system with a working flock
for `swap` (local disks, NFS 4, most cluster file systems). Knows nothing of what the files hold.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zarr.abc.store import Store
from zarr.storage import LocalStore

PARTIAL = ".partial"
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """The files below the folder `root`, which need not exist yet."""

    root: Path

    def location(self, key: str) -> str:
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def stream(self, key: str) -> Iterator[bytes]:
        with (self.root / key).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def exists(self, key: str) -> bool:
        return (self.root / key).is_file()

    def size(self, key: str) -> int:
        return (self.root / key).stat().st_size

    def keys_below(self, prefix: str) -> Iterator[str]:
        yield from _files_below(str(self.root / prefix), prefix)

    def children(self, prefix: str) -> list[str]:
        try:
            with os.scandir(self.root / prefix) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []

    def write(self, key: str, content: bytes, *, durable: bool = True) -> None:
        path = self.root / key
        _make_folder(path.parent)
        os.replace(_write_partial(path, content, durable), path)
        if durable:
            _sync(path.parent)

    def append(self, key: str, content: bytes) -> None:
        path = self.root / key
        _make_folder(path.parent)
        with path.open("ab") as file:
            file.write(content)

    def swap(self, key: str, expected: bytes | None, content: bytes | None) -> bool:
        path = self.root / key
        if expected is None:
            _make_folder(path.parent)
        with suppress(FileNotFoundError), _guarded(path):
            # Partial files of this key are written under the guard only, so these belong to killed processes.
            for partial in path.parent.glob(f".{path.name}.*{PARTIAL}"):
                partial.unlink()
            if _content(path) == expected:
                return _put(path, expected, content)
        return False

    def delete(self, key: str) -> None:
        path = self.root / key
        with suppress(FileNotFoundError):
            os.unlink(path)
            _sync(path.parent)

    def delete_below(self, prefix: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.root / prefix)

    def sync(self, keys: Iterable[str], within: str) -> None:
        _sync_files((self.root / key for key in keys), self.root / within)

    def publish(self, staged: str, target: str) -> None:
        source, destination = self.root / staged, self.root / target
        _sync_files((self.root / key for key in self.keys_below(staged)), source)
        _make_folder(destination.parent)
        os.rename(source, destination)
        _sync(destination.parent)

    def remove_partial_writes(self, prefix: str) -> int:
        partial = [key for key in self.keys_below(prefix) if key.endswith(PARTIAL)]
        for key in partial:
            (self.root / key).unlink(missing_ok=True)
        return len(partial)

    def zarr_store(self, prefix: str, *, writable: bool = False) -> Store:
        return LocalStore(self.root / prefix, read_only=not writable)


def _files_below(folder: str, prefix: str) -> Iterator[str]:
    """Keys of the files below `folder`, whose own key is `prefix`. A store may have a million: no `Path` is made."""
    begin = f"{prefix}/" if prefix else ""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, begin + entry.name)
            else:
                yield begin + entry.name


def _put(path: Path, expected: bytes | None, content: bytes | None) -> bool:
    """The change of a swap, under the guard."""
    if content is None:
        path.unlink(missing_ok=True)
        return True
    partial = _write_partial(path, content, durable=True)
    if expected is not None:
        os.replace(partial, path)
        _sync(path.parent)
        return True
    # Linking fails where the name exists, also on file systems whose flock works within one machine only.
    try:
        os.link(partial, path)
        swapped = True
    except FileExistsError:
        swapped = False
    partial.unlink()
    _sync(path.parent)
    return swapped


def _write_partial(path: Path, content: bytes, durable: bool) -> Path:
    """A partial file in the folder of `path`, to be renamed or linked to it; synced where it must be `durable`."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with partial.open("xb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    return partial


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """One process at a time changes the file at `path`; the system frees the guard of a killed one."""
    guard = os.open(path.with_name(f".{path.name}.guard"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
    finally:
        os.close(guard)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _make_folder(folder: Path) -> None:
    """Make `folder` and its missing parents; the name of each survives a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_files(files: Iterable[Path], root: Path) -> None:
    """Flush `files` and every folder between them and `root`, each once."""
    folders: set[Path] = set()
    for file in files:
        _sync(file)
        folders.update(parent for parent in file.parents if parent.is_relative_to(root))
    for folder in sorted(folders, reverse=True):
        _sync(folder)

"""A unit is done when its mark is published, and a mark is published only after its files are safe on the disk.

Data presence never means done: an emptied shard reads as zeros without an error. Knows nothing of what units are or
what their files hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import google_crc32c

from esn_dist.store.disk import replace_bytes, sweep_partials, sync, sync_files
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease

_SUFFIX = ".json"
_LONGEST_FILE_NAME = 200
_READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is no longer what its unit's done-mark says. `file` is relative to the sweep's folder."""

    unit: str
    file: str
    problem: str


def publish(folder: StoreFolder, unit: str, files: Sequence[str], lease: Lease) -> None:
    """Mark `unit` done: flush `files` (relative to `data.zarr`) and their folders, read them back, then rename a mark.

    Raises `LeaseLost` when another driver has taken the store over, `ValueError` where a file is missing or empty.
    """
    paths = {name: folder.data / name for name in files}
    sync_files(paths.values(), folder.data)
    recorded = {name: _size_and_checksum(path) for name, path in paths.items()}
    if empty := [name for name, (size, _) in recorded.items() if not size]:
        raise ValueError(f"{unit}: empty files cannot be done: {', '.join(empty)}")
    body = {"unit": unit, "files": {name: {"size": size, "crc32c": crc} for name, (size, crc) in recorded.items()}}
    mark = _mark(folder, unit)
    if not mark.parent.is_dir():
        mark.parent.mkdir(parents=True, exist_ok=True)
        sync(folder.done)
    lease.check()
    replace_bytes(mark, json.dumps(body, indent=1, sort_keys=True).encode())


def done_units(folder: StoreFolder) -> frozenset[str]:
    """Names of all published units, from the names of the marks alone (a million in about a second)."""
    return frozenset(unquote(entry.name[: -len(_SUFFIX)]) for entry in _marks(folder))


def damaged(folder: StoreFolder) -> list[Damage]:
    """Every marked file that is missing, has another size or another checksum. Reads all data once."""
    return [damage for entry in sorted(_marks(folder), key=lambda mark: mark.name) for damage in _damage(folder, entry)]


def unmark(folder: StoreFolder, unit: str) -> None:
    """Forget that `unit` is done; the next run does it again. Nothing happens where it has no mark."""
    mark = _mark(folder, unit)
    if mark.exists():
        mark.unlink()
        sync(mark.parent)


def sweep_orphans(folder: StoreFolder, lease: Lease) -> int:
    """Remove what killed runs left half-written; only for the driver that holds the lock. Returns how many files."""
    lease.check()
    for staged in folder.staging.iterdir():
        shutil.rmtree(staged)
    return sweep_partials(folder.data) + sweep_partials(folder.done)


def _damage(folder: StoreFolder, entry: os.DirEntry[str]) -> Iterator[Damage]:
    unit = unquote(entry.name[: -len(_SUFFIX)])
    try:
        files = json.loads(Path(entry.path).read_bytes())["files"].items()
        expected = {name: (record["size"], record["crc32c"]) for name, record in files}
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Damage(unit, str(Path(entry.path).relative_to(folder.root)), "the mark itself is unreadable")
        return
    for name, record in expected.items():
        if problem := _problem(folder.data / name, *record):
            yield Damage(unit, str(Path(folder.data.name, name)), problem)


def _problem(path: Path, size: int, checksum: str) -> str | None:
    if not path.is_file():
        return "missing"
    if (found := path.stat().st_size) != size:
        return f"{found} bytes instead of {size}"
    return None if _size_and_checksum(path)[1] == checksum else "checksum differs"


def _size_and_checksum(path: Path) -> tuple[int, str]:
    checksum, size = google_crc32c.Checksum(), 0  # type: ignore[no-untyped-call]
    with path.open("rb") as file:
        while content := file.read(_READ_BYTES):
            checksum.update(content)  # type: ignore[no-untyped-call]
            size += len(content)
    return size, checksum.hexdigest().decode()  # type: ignore[no-untyped-call]


def _mark(folder: StoreFolder, unit: str) -> Path:
    name = quote(unit, safe="")
    if not name or len(name) > _LONGEST_FILE_NAME:
        raise ValueError(f"a unit's name must become a file name of 1 to {_LONGEST_FILE_NAME} bytes: {unit!r}")
    # 256 folders keep each one small.
    return folder.done / hashlib.sha256(unit.encode()).hexdigest()[:2] / f"{name}{_SUFFIX}"


def _marks(folder: StoreFolder) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder.done) as parents:
        for parent in parents:
            with os.scandir(parent) as entries:
                yield from (entry for entry in entries if entry.name.endswith(_SUFFIX))

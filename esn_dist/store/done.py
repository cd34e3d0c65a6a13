"""Done-marks: a unit is done once its mark is published, and that happens only after its files are safe on the disk.

Data presence never means done: an emptied shard reads as zeros without an error. Knows nothing of what units are or
what their files hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import google_crc32c

from esn_dist.store.folder import DATA, DONE, STAGING, StoreFolder, data_key
from esn_dist.store.lock import Lease

_SUFFIX = ".json"
_LONGEST_FILE_NAME = 200


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that differs from what its unit's done-mark records. `file` is relative to the sweep's folder."""

    unit: str
    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """Size in bytes and CRC32C (8 hex digits) of a file, as a mark records them."""

    size: int
    crc32c: str


def publish(folder: StoreFolder, unit: str, files: Sequence[str], lease: Lease) -> None:
    """Mark `unit` done: flush `files` (relative to `data.zarr`) and their folders, read them back, then write the mark.

    Raises `LeaseLost` when another driver has taken the store over, `ValueError` where a file is missing or empty.
    """
    key = _mark_key(unit)
    # 1. The data is durable before anything names it.
    folder.backend.sync((data_key(name) for name in files), within=DATA)
    # 2. What the mark records is what the disk gives back.
    recorded = {name: _record(folder, data_key(name)) for name in files}
    if empty := [name for name, file in recorded.items() if not file.size]:
        raise ValueError(f"{unit}: empty files cannot be done: {', '.join(empty)}")
    # 3. Only the holder of the lock publishes.
    lease.check()
    folder.backend.write(key, _mark_content(unit, recorded))


def done_units(folder: StoreFolder) -> frozenset[str]:
    """Names of all published units, from the names of the marks alone (a million in about a second)."""
    return frozenset(map(_unit_of, _mark_keys(folder)))


def damaged(folder: StoreFolder) -> list[Damage]:
    """Every marked file that is missing, has another size or another checksum. Reads all data once."""
    return [damage for key in sorted(_mark_keys(folder), key=_unit_of) for damage in _damage(folder, key)]


def unmark(folder: StoreFolder, unit: str) -> None:
    """Remove the mark of `unit`, so that the next run does it again. Nothing happens where it has none."""
    folder.backend.delete(_mark_key(unit))


def remove_partial_files(folder: StoreFolder, lease: Lease) -> int:
    """Remove what killed runs left half-written. Returns: the number of partial files.

    Raises `LeaseLost` unless this driver holds the lock.
    """
    lease.check()
    folder.backend.delete_below(STAGING)
    return folder.backend.remove_partial_writes(DATA) + folder.backend.remove_partial_writes(DONE)


def _damage(folder: StoreFolder, key: str) -> Iterator[Damage]:
    unit = _unit_of(key)
    try:
        files = json.loads(folder.backend.read(key))["files"].items()
        recorded = {name: RecordedFile(record["size"], record["crc32c"]) for name, record in files}
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Damage(unit, key, "the mark itself is unreadable")
        return
    for name, record in recorded.items():
        if problem := _problem(folder, data_key(name), record):
            yield Damage(unit, data_key(name), problem)


def _problem(folder: StoreFolder, key: str, recorded: RecordedFile) -> str | None:
    if not folder.backend.exists(key):
        return "missing"
    if (size := folder.backend.size(key)) != recorded.size:
        return f"{size} bytes instead of {recorded.size}"
    return None if _record(folder, key).crc32c == recorded.crc32c else "checksum differs"


def _record(folder: StoreFolder, key: str) -> RecordedFile:
    checksum, size = google_crc32c.Checksum(), 0  # type: ignore[no-untyped-call]
    for piece in folder.backend.stream(key):
        checksum.update(piece)  # type: ignore[no-untyped-call]
        size += len(piece)
    return RecordedFile(size, checksum.hexdigest().decode())  # type: ignore[no-untyped-call]


def _mark_content(unit: str, recorded: dict[str, RecordedFile]) -> bytes:
    files = {name: {"size": file.size, "crc32c": file.crc32c} for name, file in recorded.items()}
    return json.dumps({"unit": unit, "files": files}, indent=1, sort_keys=True).encode()


def _mark_key(unit: str) -> str:
    name = quote(unit, safe="")
    if not name or len(name) > _LONGEST_FILE_NAME:
        raise ValueError(f"a unit's name must become a file name of 1 to {_LONGEST_FILE_NAME} bytes: {unit!r}")
    # 256 folders keep each one small.
    return f"{DONE}/{hashlib.sha256(unit.encode()).hexdigest()[:2]}/{name}{_SUFFIX}"


def _mark_keys(folder: StoreFolder) -> Iterator[str]:
    return (key for key in folder.backend.keys_below(DONE) if key.endswith(_SUFFIX))


def _unit_of(key: str) -> str:
    return unquote(key[key.rindex("/") + 1 : -len(_SUFFIX)])

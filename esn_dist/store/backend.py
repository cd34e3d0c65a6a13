"""Where the files of a store are kept: one interface to read, write, publish and list them, on disk or in a bucket.

A backend holds keys such as `done/3f/unit.json` with bytes. A prefix is a key's beginning up to a "/". Knows nothing of
what the bytes mean.

Durability is explicit, because Zarr never calls fsync: first `sync` the data, then `write` the mark that depends on it.
An implementation passes the tests of `esn_dist.testing.backends`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from zarr.abc.store import Store


class StorageBackend(Protocol):
    """The files of one sweep.

    Every key is relative to the sweep's folder. Methods that need a file which is missing raise `FileNotFoundError`.
    Writing makes the folders that a key needs.
    """

    def location(self, key: str) -> str:
        """The path or URL of `key`, for messages."""

    def read(self, key: str) -> bytes:
        """The whole content of `key`."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The content of `key` in pieces of a few megabytes."""

    def exists(self, key: str) -> bool:
        """Whether `key` is a file."""

    def size(self, key: str) -> int:
        """Bytes of `key`."""

    def keys_below(self, prefix: str) -> Iterator[str]:
        """Every key below `prefix`, in no order; none where the prefix does not exist. Pages are fetched as needed."""

    def children(self, prefix: str) -> list[str]:
        """Names directly below `prefix` that have keys below them, sorted."""

    def write(self, key: str, content: bytes, *, durable: bool = True) -> None:
        """Replace `key` in one step: a reader sees the old content or the whole new one.

        `durable` content survives a power cut once this returns.
        """

    def append(self, key: str, content: bytes) -> None:
        """Add `content` to the end of `key`. Only one process at a time may append to a key; a kill may cut the end."""

    def swap(self, key: str, expected: bytes | None, content: bytes | None) -> bool:
        """Replace `key` if it still holds `expected`: one winner among all processes. None means no file.

        Returns: whether `content` is now in place. The lock of a store depends on this.
        """

    def delete(self, key: str) -> None:
        """Remove `key`; durable like `write`. Nothing happens where it is missing."""

    def delete_below(self, prefix: str) -> None:
        """Remove every key below `prefix`."""

    def sync(self, keys: Iterable[str], within: str) -> None:
        """Make `keys` durable, and their names in every folder up to the prefix `within`."""

    def publish(self, staged: str, target: str) -> None:
        """Make all keys below `staged` durable, then visible below `target` in one step.

        Where nothing can be renamed, the last step is the target's own `zarr.json`: without it there is no node.
        """

    def remove_partial_writes(self, prefix: str) -> int:
        """Remove what killed writers left below `prefix`; returns the number of files."""

    def zarr_store(self, prefix: str, *, writable: bool = False) -> Store:
        """The keys below `prefix` as a Zarr store."""

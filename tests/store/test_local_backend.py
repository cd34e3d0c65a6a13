"""The backend of local disks: the conformance tests, and what only a file system can get wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from esn_dist.store.backend import StorageBackend
from esn_dist.store.local_backend import LocalBackend
from esn_dist.testing.backends import KEY, StorageBackendConformance

KilledAt = Callable[..., bool]


class TestLocalBackend(StorageBackendConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> StorageBackend:
        return LocalBackend(tmp_path / "sweep")

    def leave_partial_writes(self, backend: StorageBackend) -> Iterator[str]:
        for key in ("done/3f/.unit.json.0123.partial", "done/.c.0.4567.partial"):
            backend.write(key, b"half")
            yield key


def test_a_write_killed_at_any_step_leaves_the_old_or_the_new_content(tmp_path: Path, killed_at: KilledAt) -> None:
    backend = LocalBackend(tmp_path)
    backend.write(KEY, b"old")
    steps = 0
    while killed_at(steps, backend.write, KEY, b"the new content"):
        assert backend.read(KEY) in (b"old", b"the new content")
        steps += 1
    assert steps == 3  # sync the partial file, rename it, sync the folder
    assert backend.read(KEY) == b"the new content"


def test_a_publication_killed_at_any_step_shows_all_or_nothing(tmp_path: Path, killed_at: KilledAt) -> None:
    backend, steps, killed = LocalBackend(tmp_path), 0, True
    while killed:
        staged, target = f"staging/{steps}", f"data.zarr/{steps}"
        for name in ("zarr.json", "K/zarr.json", "K/c.0"):
            backend.write(f"{staged}/{name}", b"x")
        killed = killed_at(steps, backend.publish, staged, target)
        assert len(list(backend.keys_below(target))) in (0, 3)
        steps += 1
    assert len(list(backend.keys_below(target))) == 3 and steps > 6


def test_a_swap_killed_at_any_step_leaves_a_lock_that_can_be_taken(tmp_path: Path, killed_at: KilledAt) -> None:
    backend, steps = LocalBackend(tmp_path), 0
    while killed_at(steps, backend.swap, "lock", None, b"first"):
        content = backend.read("lock") if backend.exists("lock") else None
        assert content in (None, b"first")
        assert backend.swap("lock", content, None)
        steps += 1
    assert backend.read("lock") == b"first"
    assert backend.swap("lock", b"first", b"second")
    # The guard is the only other file: what killed processes left was removed under it.
    assert sorted(backend.keys_below("")) == [".lock.guard", "lock"]


def test_a_store_whose_folder_was_removed_has_no_keys_and_no_lock(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "gone")
    assert list(backend.keys_below("")) == []
    assert not backend.swap("lock", b"mine", b"mine, later")
    assert not (tmp_path / "gone").exists()

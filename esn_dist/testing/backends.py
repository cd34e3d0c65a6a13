"""Tests that every storage backend passes: `class TestMine(StorageBackendConformance)` with a `backend` fixture.

They test what a store needs: a reader sees old or new content and nothing between, a staged node appears whole, one
of many writers wins a swap, and Zarr reads back what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from esn_dist.store.backend import StorageBackend

KEY = "done/3f/unit.json"


class StorageBackendConformance:
    """Tests of one backend."""

    @pytest.fixture
    def backend(self) -> StorageBackend:
        """An empty backend, which a subclass provides."""
        raise NotImplementedError

    def test_what_was_written_is_read_back_and_replaced_whole(self, backend: StorageBackend) -> None:
        backend.write(KEY, b"a longer first content")
        backend.write(KEY, b"second", durable=False)
        assert backend.read(KEY) == b"second"
        assert backend.size(KEY) == 6

    def test_a_missing_key_is_no_file_and_has_no_content(self, backend: StorageBackend) -> None:
        assert not backend.exists(KEY)
        for read in (backend.read, backend.size, lambda key: list(backend.stream(key))):
            with pytest.raises(FileNotFoundError):
                read(KEY)
        backend.delete(KEY)
        backend.delete_below("done")

    def test_a_prefix_is_no_file(self, backend: StorageBackend) -> None:
        backend.write(KEY, b"")
        assert backend.exists(KEY) and not backend.exists("done") and not backend.exists("done/3f")

    def test_a_large_file_is_streamed_in_pieces(self, backend: StorageBackend) -> None:
        content = np.arange(3_000_000, dtype=np.uint32).tobytes()
        backend.write(KEY, content)
        pieces = list(backend.stream(KEY))
        assert len(pieces) > 1 and b"".join(pieces) == content

    def test_listing_goes_below_the_prefix_and_not_next_to_it(self, backend: StorageBackend) -> None:
        keys = {KEY, "done/a.json", "done/3f/other.json"}
        for key in {*keys, "done2/b.json", "log/events.jsonl"}:
            backend.write(key, b"x")
        assert set(backend.keys_below("done")) == keys
        assert backend.children("done") == ["3f"]
        assert backend.children("") == ["done", "done2", "log"]
        assert list(backend.keys_below("none")) == backend.children("none") == []

    def test_more_keys_than_a_page_holds_are_all_listed(self, backend: StorageBackend) -> None:
        keys = {f"done/{number:04}.json" for number in range(1100)}
        for key in keys:
            backend.write(key, b"", durable=False)
        assert set(backend.keys_below("done")) == keys

    def test_deleted_keys_are_gone_and_others_stay(self, backend: StorageBackend) -> None:
        for key in (KEY, "done/a.json", "staging/1/zarr.json", "staging/2/c.0"):
            backend.write(key, b"x")
        backend.delete(KEY)
        backend.delete_below("staging")
        assert list(backend.keys_below("")) == ["done/a.json"]

    def test_appended_lines_follow_each_other(self, backend: StorageBackend) -> None:
        for line in (b"one\n", b"two\n"):
            backend.append("log/events.jsonl", line)
        assert backend.read("log/events.jsonl") == b"one\ntwo\n"

    def test_a_swap_needs_the_expected_content(self, backend: StorageBackend) -> None:
        assert not backend.swap("lock", b"mine", b"theirs")
        assert not backend.exists("lock")
        assert backend.swap("lock", None, b"mine")
        assert not backend.swap("lock", None, b"theirs")
        assert not backend.swap("lock", b"other", b"theirs")
        assert backend.read("lock") == b"mine"
        assert backend.swap("lock", b"mine", b"mine, later")
        assert not backend.swap("lock", b"mine", None)
        assert backend.swap("lock", b"mine, later", None)
        assert not backend.exists("lock")

    @pytest.mark.parametrize("expected", [None, b"a dead holder"])
    def test_of_sixteen_swaps_at_once_exactly_one_wins(self, backend: StorageBackend, expected: bytes | None) -> None:
        if expected is not None:
            backend.write("lock", expected)
        contents = [f"holder {number}".encode() for number in range(16)]
        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(lambda content: backend.swap("lock", expected, content), contents))
        assert won.count(True) == 1
        assert backend.read("lock") == contents[won.index(True)]

    def test_a_staged_node_appears_whole_at_its_target(self, backend: StorageBackend) -> None:
        staged = backend.zarr_store("staging/1", writable=True)
        group = zarr.create_group(staged, zarr_format=3, attributes={"layers": 2})
        group.create_array("K", data=np.arange(6, dtype=np.uint16))
        assert list(backend.keys_below("data.zarr")) == []
        backend.publish("staging/1", "data.zarr/models/m")
        assert list(backend.keys_below("staging")) == []
        published = zarr.open_group(backend.zarr_store("data.zarr"), path="models/m", mode="r")
        assert published.attrs["layers"] == 2
        assert np.array_equal(np.asarray(zarr.open_array(published.store_path / "K", mode="r")), np.arange(6))

    def test_a_chunk_that_zarr_writes_is_a_key_that_can_be_synced_and_deleted(self, backend: StorageBackend) -> None:
        array = zarr.create_array(backend.zarr_store("data.zarr", writable=True), data=np.arange(4, dtype=np.uint8))
        chunks = [key for key in backend.keys_below("data.zarr") if not key.endswith("zarr.json")]
        backend.sync(chunks, within="data.zarr")
        assert len(chunks) == 1 and np.array_equal(np.asarray(array), np.arange(4))
        backend.delete(chunks[0])
        assert not np.asarray(array).any()

    def test_a_store_that_was_opened_to_read_cannot_be_written(self, backend: StorageBackend) -> None:
        zarr.create_array(backend.zarr_store("data.zarr", writable=True), data=np.arange(4, dtype=np.uint8))
        with pytest.raises(ValueError, match="read-only"):
            zarr.open_array(backend.zarr_store("data.zarr"), mode="r+")[:] = 0

    def test_partial_writes_are_counted_and_removed(self, backend: StorageBackend) -> None:
        backend.write(KEY, b"x")
        left = list(self.leave_partial_writes(backend))
        assert backend.remove_partial_writes("done") == len(left)
        assert list(backend.keys_below("done")) == [KEY]

    def test_a_location_names_the_key(self, backend: StorageBackend) -> None:
        assert backend.location(KEY).endswith(KEY)

    def leave_partial_writes(self, backend: StorageBackend) -> Iterator[str]:
        """Leave below `done` what a killed writer leaves, and name it; nothing where writes leave nothing."""
        yield from ()

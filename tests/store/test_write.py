"""What actors may write, and what a done-mark is worth."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from esn_dist.store import create, read, write
from esn_dist.store.done import Damage, damaged, done_units, publish, remove_partial_files, unmark
from esn_dist.store.folder import STAGING, StoreFolder
from esn_dist.store.lock import Lease, LeaseLost, Lock
from esn_dist.store.tables import CellTable
from esn_dist.store.zarr_nodes import open_array

Values = Callable[[int, int], dict[str, Any]]
Cells = Callable[..., CellTable]
Files = Callable[[Path], dict[str, bytes]]

UNIT = "answers-tiny-synthetic-0000"


@pytest.fixture
def lease(folder: StoreFolder) -> Iterator[Lease]:
    with Lock(folder.backend) as lease:
        yield lease


@pytest.fixture
def shard(folder: StoreFolder, shard_of_counts: Values, lease: Lease) -> Path:
    """A published unit of one shard; the file of K."""
    written = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **shard_of_counts(32, 1))
    publish(folder, "identify-0", written, lease)
    return folder.data / written[0]


@pytest.mark.parametrize("rows", [(0, 16), (16, 48), (0, 127), (32, 32), (64, 32), (0, 160), (-32, 128)])
def test_a_slice_that_is_not_whole_shards_is_refused(
    folder: StoreFolder,
    shard_of_counts: Values,
    rows: tuple[int, int],
    files: Files,
) -> None:
    before = files(folder.data)
    with pytest.raises(ValueError, match="not whole chunks of 32 rows"):
        write.write_counts(folder, "tiny", "synthetic", slice(*rows), **shard_of_counts(32, 1))
    assert files(folder.data) == before


def test_a_part_of_a_block_of_cells_is_refused(
    folder: StoreFolder, make_cells: Cells, block_of_answers: Values
) -> None:
    create.add_answers(folder, "tiny", "synthetic", make_cells("a", "b", "c", "d", "e"), 4)
    with pytest.raises(ValueError, match="not whole chunks of 4 rows"):
        write.write_answers(folder, "tiny", "synthetic", slice(0, 5), **block_of_answers(5, 1))
    write.write_answers(folder, "tiny", "synthetic", slice(4, 8), **block_of_answers(1, 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("K", np.full((32, 3, 6, 16), 65536)), ("K", np.full((32, 3, 6, 16), -1)), ("T", np.full((32, 3), 0.5))],
)
def test_a_count_that_would_wrap_round_is_refused_before_anything_is_written(
    folder: StoreFolder,
    shard_of_counts: Values,
    name: str,
    value: npt.NDArray[Any],
    files: Files,
) -> None:
    before = files(folder.data)
    with pytest.raises(ValueError, match=f"{name}: "):
        write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **{**shard_of_counts(32, 1), name: value})
    assert files(folder.data) == before


def test_values_for_pad_rows_are_not_asked_for(folder: StoreFolder, shard_of_counts: Values) -> None:
    with pytest.raises(ValueError, match="named rows need"):
        write.write_counts(folder, "tiny", "synthetic", slice(32, 64), **shard_of_counts(32, 1))
    given = shard_of_counts(8, 1)
    write.write_counts(folder, "tiny", "synthetic", slice(32, 64), **given)
    stored = np.asarray(open_array(folder, "models/tiny/synthetic/counts/K")[32:64])
    assert np.array_equal(stored[:8], given["K"]) and not stored[8:].any()


def test_a_long_text_is_cut_between_characters_and_flagged(
    folder: StoreFolder, make_cells: Cells, block_of_answers: Values
) -> None:
    create.add_answers(folder, "tiny", "synthetic", make_cells("a"), 1)
    values = block_of_answers(1, 1)
    values["text"] = [["x" * 160, "x" * 161, "é" * 100, "a" + "é" * 100, "nul\0", "\ud800"]]
    write.write_answers(folder, "tiny", "synthetic", slice(0, 1), **values)
    texts = read.read_texts(folder, "tiny", "synthetic", "a")
    assert texts.text.values.tolist() == ["x" * 160, "x" * 160, "é" * 80, "a" + "é" * 79, "nul\ufffd", "?"]
    assert texts.truncated.values.tolist() == [False, True, True, True, False, False]


def test_the_mark_lists_every_file_of_the_unit(folder: StoreFolder, shard: Path) -> None:
    assert done_units(folder) == {"identify-0"}
    mark = json.loads(next(folder.done.rglob("*.json")).read_text())
    assert mark["unit"] == "identify-0" and len(mark["files"]) == 8
    assert all((folder.data / name).stat().st_size == record["size"] for name, record in mark["files"].items())
    assert damaged(folder) == []


def test_units_are_known_from_the_names_of_marks_alone(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million marks: none is opened, and each folder is listed once."""
    for number in range(600):
        (marks := folder.done / f"{number % 3:02x}").mkdir(parents=True, exist_ok=True)
        (marks / f"answer-{number}.json").write_bytes(b"not JSON")
    listed, scandir = list[str](), os.scandir

    def recorded(path: str) -> Any:
        listed.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recorded)
    assert len(done_units(folder) - {"identify-0"}) == 600
    assert len(listed) == len(set(listed)) == 1 + sum(path.is_dir() for path in folder.done.iterdir())


@pytest.mark.parametrize("unit", ["a/b", "..", "ümlaut 😀", "a%2Fb", "x.json", UNIT])
def test_any_unit_name_comes_back_from_its_mark(folder: StoreFolder, lease: Lease, unit: str) -> None:
    publish(folder, unit, ["zarr.json"], lease)
    assert done_units(folder) == {unit}
    unmark(folder, unit)
    unmark(folder, unit)
    assert done_units(folder) == frozenset()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (truncate, "bytes instead of"),
        (lambda path: os.truncate(path, 0), "0 bytes instead of"),
        (flip, "checksum differs"),
        (lambda path: path.unlink(), "missing"),
    ],
    ids=["truncated", "emptied", "flipped", "deleted"],
)
def test_a_damaged_shard_is_reported_and_its_unit_can_be_unmarked_and_done_again(
    folder: StoreFolder,
    shard: Path,
    lease: Lease,
    shard_of_counts: Values,
    harm: Callable[[Path], None],
    problem: str,
) -> None:
    harm(shard)
    (damage,) = damaged(folder)
    assert (damage.unit, folder.root / damage.file) == ("identify-0", shard) and problem in damage.problem
    unmark(folder, damage.unit)
    assert done_units(folder) == frozenset() and damaged(folder) == []
    again = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **shard_of_counts(32, 1))
    publish(folder, "identify-0", again, lease)
    assert damaged(folder) == []


def test_a_zero_length_shard_reads_as_zeros_which_is_why_marks_exist(folder: StoreFolder, shard: Path) -> None:
    os.truncate(shard, 0)
    assert not np.asarray(open_array(folder, "models/tiny/synthetic/counts/K")[:32]).any()
    assert [damage.unit for damage in damaged(folder)] == ["identify-0"]


def test_a_flipped_byte_is_an_error_for_every_reader(folder: StoreFolder, shard: Path) -> None:
    flip(shard)
    with pytest.raises(ValueError, match="checksum"):
        open_array(folder, "models/tiny/synthetic/counts/K")[:32]


def test_a_mark_that_cannot_be_read_is_damage(folder: StoreFolder, shard: Path) -> None:
    mark = next(folder.done.rglob("*.json"))
    mark.write_text("")
    relative = str(mark.relative_to(folder.root))
    assert damaged(folder) == [Damage("identify-0", relative, "the mark itself is unreadable")]


def test_an_empty_file_is_never_published(folder: StoreFolder, lease: Lease) -> None:
    (folder.data / "empty").touch()
    with pytest.raises(ValueError, match="empty files cannot be done"):
        publish(folder, UNIT, ["empty"], lease)
    assert done_units(folder) == frozenset()


def test_an_orphan_actor_publishes_nothing(folder: StoreFolder, lease: Lease) -> None:
    with pytest.raises(LeaseLost, match="now held by process"):
        publish(folder, UNIT, ["zarr.json"], Lease("of a dead driver", folder.backend))
    assert done_units(folder) == frozenset()


def test_leftovers_of_killed_writers_are_swept_and_data_stays(
    folder: StoreFolder, shard: Path, lease: Lease, files: Files
) -> None:
    before = files(folder.data)
    (folder.data / "models/tiny/.c.0.0.0.0.1234.partial").write_bytes(b"half")
    (folder.root / STAGING / "half" / "models").mkdir(parents=True)
    assert remove_partial_files(folder, lease) == 1
    assert files(folder.data) == before and not (folder.root / STAGING).exists()
    assert done_units(folder) == {"identify-0"}


def test_a_kill_at_any_step_of_a_unit_leaves_it_undone_or_whole(
    folder: StoreFolder,
    lease: Lease,
    shard_of_counts: Values,
    killed_at: Callable[..., bool],
) -> None:
    """The unit is executed in a real process that dies at each system call in turn."""
    values = shard_of_counts(32, 3)
    files = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **values)
    steps = 0
    while killed_at(steps, publish, folder, "u", files, lease):
        if "u" in done_units(folder):
            assert damaged(folder) == []
            unmark(folder, "u")
        steps += 1
    assert steps >= 10 and done_units(folder) == {"u"}
    unmark(folder, "u")
    for path in files:
        (folder.data / path).unlink()
    steps = 0
    while killed_at(steps, write.write_counts, folder, "tiny", "synthetic", slice(0, 32), **values):
        blocks = list(read.count_blocks(folder, "tiny", "synthetic"))
        assert all(np.array_equal(block.K, values["K"]) for block in blocks)
        steps += 1
    assert steps == len(files)
    assert len(list(read.count_blocks(folder, "tiny", "synthetic"))) == 1


def test_a_full_disk_is_an_error_and_no_mark(
    folder: StoreFolder,
    lease: Lease,
    shard_of_counts: Values,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk at the moment when the mark is written."""
    files = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **shard_of_counts(32, 1))
    real = os.fsync

    def full(descriptor: int) -> None:
        if str(folder.done) in os.readlink(f"/proc/self/fd/{descriptor}") and os.fstat(descriptor).st_size < 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            publish(folder, "u", files, lease)
    assert done_units(folder) == frozenset()
    publish(folder, "u", files, lease)
    assert damaged(StoreFolder(folder.root)) == []

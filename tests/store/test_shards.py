"""The sum over a shard's correctly answered utterances is what its rows sum to, whatever was answered."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from esn_dist.store import create, read, write
from esn_dist.store.compare import differences
from esn_dist.store.correct_sums import answered_correctly
from esn_dist.store.done import damaged, publish
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lock
from esn_dist.store.zarr_nodes import open_array

Values = Callable[[int, int], dict[str, Any]]
SUMS = "models/tiny/synthetic/counts/K_correct"


def stored(folder: StoreFolder) -> npt.NDArray[Any]:
    return np.asarray(open_array(folder, SUMS)[:])


def test_a_label_is_right_only_where_the_model_answered_with_it() -> None:
    answer, outcome = np.array([0, 1, 1, -1, 1], np.int8), np.array([1, 1, 2, 3, 1], np.uint8)
    labels = ["joy", "joy", "joy", "joy", "anger"]
    right = answered_correctly(outcome, answer, labels, ("anger", "joy"))
    assert right.tolist() == [False, True, False, False, False]  # -1 would read as joy, and so would unparsed ones


def test_the_writer_sums_the_correct_rows_that_have_counts_shard_by_shard(
    folder: StoreFolder, shard_of_counts: Values
) -> None:
    """Both shards of anger in one unit; of its first rows one is wrong, one unparsed and one has no counts."""
    values = shard_of_counts(40, 1)
    values["answer"][:] = 0
    values["answer"][4], values["outcome"][5], values["T"][6] = 1, 2, 65535
    write.write_counts(folder, "tiny", "synthetic", slice(0, 64), **values)
    K = values["K"]
    expected = [np.delete(K[:32], [4, 5, 6], axis=0).sum(axis=0), K[32:].sum(axis=0), np.zeros_like(K[0]), 0 * K[0]]
    assert np.array_equal(stored(folder), np.stack(expected))


def test_a_shard_nobody_answered_correctly_sums_to_zero_and_is_a_file(
    folder: StoreFolder, shard_of_counts: Values
) -> None:
    files = write.write_counts(
        folder, "tiny", "synthetic", slice(64, 96), **{**shard_of_counts(32, 1), "answer": np.full(32, 2)}
    )
    assert f"{SUMS}/c.2.0.0.0" in files and files[-1].startswith("models/tiny/synthetic/counts/T/")
    (shard,) = read.count_shards(folder, "tiny", "synthetic")
    assert shard.K_correct is not None and not shard.K_correct.any() and not shard.correct.any()


def test_the_largest_counts_do_not_wrap_round(folder: StoreFolder, shard_of_counts: Values) -> None:
    values = {**shard_of_counts(32, 1), "K": np.full((32, 3, 6, 16), 65534), "answer": np.ones(32, int)}
    write.write_counts(folder, "tiny", "synthetic", slice(64, 96), **values)
    assert (stored(folder)[2] == 32 * 65534).all()


def test_shards_hold_what_blocks_hold_and_read_it_when_asked(folder: StoreFolder, shard_of_counts: Values) -> None:
    values = shard_of_counts(40, 1)
    values["T"][3] = 65535
    write.write_counts(folder, "tiny", "synthetic", slice(0, 64), **values)
    write.write_counts(folder, "tiny", "synthetic", slice(96, 128), **shard_of_counts(1, 2))
    blocks = list(read.count_blocks(folder, "tiny", "synthetic"))
    shards = list(read.count_shards(folder, "tiny", "synthetic"))
    assert len(blocks) == len(shards) == 3
    for block, shard in zip(blocks, shards, strict=True):
        right = np.array(("anger", "joy", "sadness"))[block.answer] == np.array(block.label)
        assert np.array_equal(shard.correct, right)
        assert np.array_equal(shard.K, block.K) and np.array_equal(shard.positions, block.T)
        assert shard.K_correct is not None
        assert np.array_equal(shard.K_correct, block.K[right].sum(axis=0, dtype=np.uint32))


@pytest.mark.parametrize("harm", ["truncate", "flip"])
def test_a_damaged_sum_is_reported_and_rewritten(folder: StoreFolder, shard_of_counts: Values, harm: str) -> None:
    values = shard_of_counts(32, 1)
    files = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **values)
    with Lock(folder.backend) as lease:
        publish(folder, "identify-0", files, lease)
    before, chunk = stored(folder), folder.data / SUMS / "c.0.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 3] ^= 1
    chunk.write_bytes(content[:-1] if harm == "truncate" else content)
    (damage,) = damaged(folder)
    assert (damage.unit, damage.file) == ("identify-0", f"data.zarr/{SUMS}/c.0.0.0.0")
    with pytest.raises(ValueError, match="checksum"):
        assert next(read.count_shards(folder, "tiny", "synthetic")).K_correct is not None
    assert write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **values) == files
    assert not damaged(folder) and np.array_equal(stored(folder), before)


def test_a_store_without_sums_is_written_and_read_as_before(folder: StoreFolder, shard_of_counts: Values) -> None:
    shutil.rmtree(folder.data / SUMS)
    files = write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **shard_of_counts(32, 1))
    assert len(files) == 7 and not (folder.data / SUMS).exists()
    (shard,) = read.count_shards(folder, "tiny", "synthetic")
    assert shard.K_correct is None and np.array_equal(shard.K, shard_of_counts(32, 1)["K"])


def test_a_sum_that_was_never_written_is_none_and_not_zero(folder: StoreFolder, shard_of_counts: Values) -> None:
    """An older version that continues a newer store leaves no file of the sum."""
    write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **shard_of_counts(32, 1))
    (folder.data / SUMS / "c.0.0.0.0").unlink()
    assert next(read.count_shards(folder, "tiny", "synthetic")).K_correct is None


def test_stores_whose_sums_differ_are_not_equal(folder: StoreFolder, tmp_path: Path, shard_of_counts: Values) -> None:
    values = {**shard_of_counts(32, 1), "answer": np.zeros(32, int)}
    write.write_counts(folder, "tiny", "synthetic", slice(0, 32), **values)
    twin = StoreFolder(tmp_path / "twin")
    shutil.copytree(folder.root, twin.root)
    assert differences(folder, twin) == []
    open_array(twin, SUMS, "r+")[0, 1, 2, 3] = 7
    (line,) = differences(folder, twin)
    assert line.startswith(f"{SUMS}: 1 of 1152 values differ (first at 0, 1, 2, 3: ")


@pytest.mark.parametrize("layers", [1, 5, 28])
def test_any_number_of_layers_has_sums(folder: StoreFolder, layers: int) -> None:
    create.add_model(folder, f"m{layers}", layers, 4, {})
    create.add_counts(folder, f"m{layers}", "synthetic")
    assert open_array(folder, f"models/m{layers}/synthetic/counts/K_correct").shape == (4, 3, layers, 4)

"""Two stores are equal when they say the same, whatever their history; every difference is named with its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esn_dist.store import create, write
from esn_dist.store.compare import differences
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import CellTable, MaskTable
from esn_dist.store.zarr_nodes import open_array

Values = Callable[[int, int], dict[str, Any]]
Cells = Callable[..., CellTable]

ANSWERS = "models/tiny/synthetic/answers"


@pytest.fixture
def twin(folder: StoreFolder, tmp_path: Path) -> StoreFolder:
    other = StoreFolder(tmp_path / "twin")
    shutil.copytree(folder.root, other.root)
    return other


def write_cells(folder: StoreFolder, placed: CellTable, cells: CellTable, block_of_answers: Values) -> None:
    """Every cell gets values that only its name decides."""
    for start in range(0, len(placed), 2):
        names = [name for name in placed.id[start : start + 2] if name]
        parts = [block_of_answers(1, sum(name.encode())) for name in names]
        values = {key: [part[key][0] for part in parts] for key in ("answer", "outcome", "logprob", "text")}
        write.write_answers(folder, "tiny", "synthetic", slice(start, start + 2), **values)


def test_a_grown_store_equals_a_store_made_in_a_single_step(
    folder: StoreFolder,
    twin: StoreFolder,
    make_cells: Cells,
    block_of_answers: Values,
) -> None:
    whole = make_cells("baseline", "a", "b").concat(make_cells("c", selector="Aardvark"))
    write_cells(folder, create.add_answers(folder, "tiny", "synthetic", whole, 2), whole, block_of_answers)
    create.add_answers(twin, "tiny", "synthetic", make_cells("b"), 2)
    placed = create.add_answers(twin, "tiny", "synthetic", whole, 2)
    assert placed.id != whole.id
    write_cells(twin, placed, whole, block_of_answers)
    assert differences(folder, twin) == []


def test_one_changed_answer_is_named_with_its_cell_and_utterance(
    folder: StoreFolder,
    twin: StoreFolder,
    make_cells: Cells,
    block_of_answers: Values,
) -> None:
    for store in (folder, twin):
        placed = create.add_answers(store, "tiny", "synthetic", make_cells("a", "b", "c"), 2)
        write_cells(store, placed, placed, block_of_answers)
    array = open_array(twin, f"{ANSWERS}/answer", "r+")
    array[2, 4] = (int(np.asarray(array[2, 4])) + 1) % 3
    (line,) = differences(folder, twin)
    assert line.startswith(f"{ANSWERS}/answer: 1 of 18 values differ (first at c, e4: ")


def test_a_log_probability_that_differs_in_its_last_bit_differs(
    folder: StoreFolder, twin: StoreFolder, shard_of_counts: Values
) -> None:
    for store in (folder, twin):
        write.write_counts(store, "tiny", "synthetic", slice(64, 96), **shard_of_counts(32, 1))
    assert differences(folder, twin) == []
    array = open_array(twin, "models/tiny/synthetic/counts/logprob", "r+")
    array[64, 0] = np.nextafter(array[64, 0], np.float32(9))
    (line,) = differences(folder, twin)
    assert "1 of 219 values differ (first at i40, 0: " in line


def test_what_only_one_of_them_has_is_named(
    folder: StoreFolder, twin: StoreFolder, make_cells: Cells, make_masks: Callable[..., MaskTable]
) -> None:
    create.add_answers(twin, "tiny", "synthetic", make_cells("a"), 2)
    create.add_masks(folder, "tiny", make_masks("m"))
    lines = differences(folder, twin)
    assert f"{ANSWERS}: only in {twin.root}" in lines
    assert "models/tiny/masks/member: 1 masks only in one, 0 only in the other" in lines


def test_another_seed_is_a_difference(folder: StoreFolder, tmp_path: Path) -> None:
    other = StoreFolder(tmp_path / "other")
    create.create_root(other, {"sweep": "test", "seed": 8})
    assert ".: attribute seed is 7 and 8" in differences(folder, other)


def test_values_of_pad_rows_are_no_difference(folder: StoreFolder, twin: StoreFolder) -> None:
    open_array(twin, "models/tiny/synthetic/counts/answer", "r+")[127] = 2
    assert differences(folder, twin) == []

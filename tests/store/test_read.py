"""What analysts get: names, no pad rows, the same values as NumPy would give, and no slow path to fall into."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.errors import UserError
from esn_dist.store import create, read, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lazy_rows import read_rows
from esn_dist.store.schema import COORDINATE_ROWS
from esn_dist.store.tables import CellTable, MaskTable
from esn_dist.store.text_encoding import decode_texts, encode_cut_texts, encode_texts
from esn_dist.store.zarr_nodes import open_array

Values = Callable[[int, int], dict[str, Any]]


@pytest.fixture
def counted(folder: StoreFolder, shard_of_counts: Values) -> tuple[StoreFolder, npt.NDArray[Any]]:
    """Anger's two shards and sadness's one are written; joy's is not. One of anger has no counts."""
    values = shard_of_counts(40, 1)
    values["T"][3] = 65535
    write.write_counts(folder, "tiny", "synthetic", slice(0, 64), **values)
    write.write_counts(folder, "tiny", "synthetic", slice(96, 128), **shard_of_counts(1, 2))
    expected = np.concatenate([np.delete(values["K"], 3, axis=0), shard_of_counts(1, 2)["K"]])
    return folder, expected


def test_answers_have_the_promised_shape_and_no_pad_cells(
    folder: StoreFolder, make_cells: Callable[..., CellTable], block_of_answers: Values
) -> None:
    create.add_answers(folder, "tiny", "synthetic", make_cells("baseline"), 2)
    create.add_answers(folder, "tiny", "synthetic", make_cells("c1", "c2", "c3"), 2)
    values = block_of_answers(2, 1)
    write.write_answers(folder, "tiny", "synthetic", slice(2, 4), **values)
    answers = read.open_answers(folder, "tiny", "synthetic")
    assert answers.cell.values.tolist() == ["baseline", "c1", "c2", "c3"]
    assert answers.answer.dims == ("cell", "utterance") and answers.logprob.dims == ("cell", "utterance", "emotion")
    assert answers.selector.values.tolist() == ["", "LAP", "LAP", "LAP"]
    assert np.isnan(answers.fraction.values[0]) and answers.alpha.values.tolist() == [0, -1, -1, -1]
    assert answers.mask_seed.values.tolist() == [-1] * 4
    assert answers.emotion.values.tolist() == ["anger", "joy", "sadness"]
    assert answers.label.values.tolist() == ["anger", "joy", "sadness"] * 2
    assert answers.speaker.values.tolist() == ["Zoë0", "Zoë1", "Zoë2"] * 2
    assert answers.option_number.values.tolist() == [[2, 3, 1]] * 6
    assert answers.attrs == {"model": "tiny", "corpus": "synthetic"}
    types = {name: answers[name].dtype for name in ("answer", "outcome", "logprob", "option_number")}
    assert types == {"answer": "int8", "outcome": "uint8", "logprob": "float32", "option_number": "uint8"}
    assert np.array_equal(answers.logprob.sel(cell=["c1", "c2"]), values["logprob"])
    assert (answers.outcome.sel(cell=["baseline", "c3"]) == 0).all()
    complete = read.open_answers(folder, "tiny", "synthetic", complete=True)
    assert complete.cell.values.tolist() == ["c1", "c2"]
    assert np.array_equal(complete.answer, values["answer"])


def test_counts_leave_out_what_was_not_written_or_has_no_counts(counted: tuple[StoreFolder, npt.NDArray[Any]]) -> None:
    folder, expected = counted
    counts = read.open_counts(folder, "tiny", "synthetic")
    assert counts.sizes["utterance"] == 40 and "i3" not in counts.utterance and "i72" in counts.utterance
    assert np.array_equal(counts.K, expected)
    assert counts.label.values.tolist() == ["anger"] * 39 + ["sadness"]
    assert counts.part.values.tolist() == ["audio", "text", "generated"]
    assert np.array_equal(
        counts.K.isel(utterance=[39, 0, 38, 0], neuron=[5, 1], layer=2), expected[[39, 0, 38, 0]][:, :, 2][..., [5, 1]]
    )
    assert np.array_equal(counts.K.sel(part="text", utterance="i5"), expected[4, 1])
    assert counts.K.isel(utterance=[]).values.shape == (0, 3, 6, 16)
    assert (counts.T.values == [150, 60, 0]).all()


def test_blocks_of_counts_are_the_same_counts(counted: tuple[StoreFolder, npt.NDArray[Any]]) -> None:
    folder, expected = counted
    for shards in (1, 2, 9):
        blocks = list(read.count_blocks(folder, "tiny", "synthetic", shards))
        assert np.array_equal(np.concatenate([block.K for block in blocks]), expected)
        assert [name for block in blocks for name in block.label] == ["anger"] * 39 + ["sadness"]
        assert all(len(block.T) == len(block.answer) == len(block.utterance) == len(block.outcome) for block in blocks)


def test_scattered_utterances_are_read_with_slices_never_with_fancy_indexing(
    counted: tuple[StoreFolder, npt.NDArray[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = counted
    selections = []
    real = zarr.Array.__getitem__

    def watched(array: Any, selection: Any) -> Any:
        selections.append(selection)
        return real(array, selection)

    counts = read.open_counts(folder, "tiny", "synthetic")
    monkeypatch.setattr(zarr.Array, "__getitem__", watched)
    assert np.array_equal(counts.K.isel(utterance=[1, 5, 7, 39]), expected[[1, 5, 7, 39]])
    assert len(selections) == 2
    assert all(isinstance(part, slice) for selection in selections for part in selection)


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (4, 8), (2, 3), (5, 99), (8, 8)])
def test_some_rows_of_the_cells_are_those_of_the_whole_table(
    folder: StoreFolder, make_cells: Callable[..., CellTable], start: int, stop: int
) -> None:
    names = [f"c{number}" for number in range(6)]
    create.add_answers(folder, "tiny", "synthetic", make_cells("baseline", *names[:2]), 4)
    create.add_answers(folder, "tiny", "synthetic", make_cells("baseline", *names, alpha=-1.0), 4)  # one pad row
    # In a store that was made before mix, the missing column reads as a pad in every row.
    shutil.rmtree(folder.data / "models/tiny/synthetic/answers/tau")
    whole = read.read_cells(folder, "tiny", "synthetic")
    some = read.read_cells(folder, "tiny", "synthetic", slice(start, stop))
    assert (
        list(map(repr, map(some.row, range(len(some))))) == [repr(whole.row(n)) for n in range(len(whole))][start:stop]
    )


def test_a_few_rows_of_a_long_table_of_cells_open_no_other_chunk(
    folder: StoreFolder, make_cells: Callable[..., CellTable]
) -> None:
    rows = 3 * COORDINATE_ROWS
    create.add_answers(folder, "tiny", "synthetic", make_cells(*(f"c{number}" for number in range(rows))), 64)
    for chunk in folder.data.glob("models/tiny/synthetic/answers/*/c.[02]*"):
        chunk.write_bytes(b"damaged")
    some = read.read_cells(folder, "tiny", "synthetic", slice(COORDINATE_ROWS + 64, COORDINATE_ROWS + 128))
    assert some.id == tuple(f"c{COORDINATE_ROWS + number}" for number in range(64, 128))


@given(
    rows=st.lists(st.integers(0, 22), max_size=12),
    columns=st.lists(st.integers(0, 4), max_size=6),
    step=st.sampled_from([1, 4, 32]),
)
def test_rows_in_any_order_and_with_repeats_are_what_numpy_would_take(
    rows: list[int], columns: list[int], step: int
) -> None:
    values = np.arange(23 * 5 * 2).reshape(23, 5, 2)
    array = zarr.create_array({}, shape=values.shape, chunks=(step, 5, 2), dtype=values.dtype)
    array[:] = values
    positions = np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)
    assert np.array_equal(read_rows(array, *positions), values[np.ix_(*positions)])


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_texts_come_back_from_bytes(texts: list[str]) -> None:
    assert decode_texts(encode_texts(texts, 400)) == tuple(texts)
    cut, truncated = encode_cut_texts(texts, 7)
    assert all(text.startswith(start) for start, text in zip(decode_texts(cut), texts, strict=True))
    assert truncated.tolist() == [len(text.encode()) > 7 for text in texts]


def test_masks_that_are_not_written_are_not_shown(folder: StoreFolder, make_masks: Callable[..., MaskTable]) -> None:
    create.add_masks(folder, "tiny", make_masks("m1", "m2", "m3"))
    member = np.zeros((1, 6, 16), bool)
    member[0, :, 4] = True
    write.write_masks(folder, "tiny", slice(1, 2), member=member, identified=[12])
    masks = read.open_masks(folder, "tiny")
    assert masks.mask.values.tolist() == ["m2"] and masks.member.dims == ("mask", "layer", "neuron")
    assert (int(masks["size"][0]), int(masks.budget[0]), int(masks.identified[0])) == (6, 9, 12)
    assert masks.member.sel(mask="m2").values.sum(axis=1).tolist() == [1] * 6
    assert set(read.read_masks(folder, "tiny").row_by_id()) == {"m1", "m2", "m3"}


def test_the_scan_can_be_read_back_as_it_was_given(folder: StoreFolder, tables: dict[str, Any]) -> None:
    assert read.read_utterances(folder, "synthetic", "evaluation") == tables["evaluation"]
    assert read.read_utterances(folder, "synthetic", "identification") == tables["identification"]
    assert read.read_exclusions(folder, "synthetic") == tables["exclusions"]


def test_the_description_names_everything(folder: StoreFolder) -> None:
    described = read.describe(folder)
    assert described.attributes == {"esn_dist_store": 1, "sweep": "test", "seed": 7}
    corpus = described.corpora["synthetic"]
    assert (corpus["evaluation_utterances"], corpus["identification_utterances"]) == (6, 73)
    assert corpus["set_aside"] == {"silent": 1, "unreadable": 1} and corpus["licence"] == "none"
    model = described.models["tiny"]
    assert (model["counts"], model["answers"], model["masks"], model["weights"]) == (["synthetic"], [], 0, "abc")


def test_a_misspelt_model_is_answered_with_the_nearest(folder: StoreFolder) -> None:
    with pytest.raises(UserError, match=r"no 'tinny' in models\. Did you mean 'tiny'\?"):
        read.open_counts(folder, "tinny", "synthetic")


def test_a_folder_without_a_store_is_refused_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no store here"):
        read.describe(StoreFolder(tmp_path))


def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    create.create_root(StoreFolder(tmp_path), {})
    zarr.open_group(tmp_path / "data.zarr", mode="r+").attrs["esn_dist_store"] = 99
    with pytest.raises(UserError, match="this store has version 99"):
        read.describe(StoreFolder(tmp_path))


def test_every_file_of_a_fill_is_there_after_opening_an_existing_array(folder: StoreFolder) -> None:
    array = open_array(folder, "models/tiny/synthetic/counts/T", "r+")
    array[0:32] = 65535
    assert (folder.data / "models/tiny/synthetic/counts/T/c.0.0").is_file()


def test_reading_needs_neither_torch_nor_ray() -> None:
    script = (
        "import sys, esn_dist.store.read, esn_dist.store.write, esn_dist.store.done, esn_dist.store.compare;"
        "print([name for name in ('torch', 'ray', 'transformers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_a_description_has_the_identity_of_a_corpus_and_its_sizes(small_store: Path) -> None:
    corpus = read.describe(StoreFolder(small_store)).corpora["studio"]
    assert corpus["identification"] == {"cap": 30}
    assert (corpus["evaluation_utterances"], corpus["identification_utterances"]) == (36, 108)

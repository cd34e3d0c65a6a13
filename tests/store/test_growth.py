"""What may be added to a store, what is refused, and what a kill in between leaves behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from esn_dist.errors import UserError
from esn_dist.store import create, read, write
from esn_dist.store.compare import differences
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import CellTable, MaskTable, Table, UtteranceTable, in_whole_shards

Cells = Callable[..., CellTable]
Files = Callable[[Path], dict[str, bytes]]
Killed = Callable[..., bool]


class GrowingTable:
    """Promises of every table that grows; a subclass says which one, and how many rows a block has."""

    block: int
    group: str
    data: tuple[str, ...]

    @pytest.fixture(autouse=True)
    def values(
        self,
        make_cells: Cells,
        make_masks: Callable[..., MaskTable],
        block_of_answers: Callable[[int, int], dict[str, Any]],
    ) -> None:
        self.make_cells, self.make_masks, self.block_of_answers = make_cells, make_masks, block_of_answers

    def rows(self, *names: str) -> Table:
        raise NotImplementedError

    def changed(self, name: str) -> Table:
        """A row of that name with another content, whose selector is a word that no row had before."""
        raise NotImplementedError

    def add(self) -> tuple[Any, ...]:
        """The function that adds rows, and what it wants between the folder and the rows, and after them."""
        raise NotImplementedError

    def fill(self, folder: StoreFolder, start: int, rows: int) -> list[str]:
        """Write the block that starts at row `start` and has `rows` named rows."""
        raise NotImplementedError

    def grow(self, folder: StoreFolder, rows: Table) -> Table:
        function, before, after = self.add()
        grown: Table = function(folder, *before, rows, *after)
        return grown

    def test_adding_the_same_again_changes_no_file(self, folder: StoreFolder, files: Files) -> None:
        first = self.grow(folder, self.rows("a", "b", "c"))
        before = files(folder.data)
        assert self.grow(folder, self.rows("a", "b", "c")).row_by_id() == first.row_by_id()
        assert files(folder.data) == before

    def test_new_rows_start_a_new_block_and_old_chunks_keep_their_bytes(self, folder: StoreFolder) -> None:
        self.grow(folder, self.rows("a"))
        written = {name: (folder.data / name).read_bytes() for name in self.fill(folder, 0, 1)}
        grown = self.grow(folder, self.rows("a", "b", "c"))
        assert grown.row_by_id() == {"a": 0, "b": self.block, "c": self.block + 1}
        assert set(self.fill(folder, self.block, min(self.block, 2))).isdisjoint(written)
        assert {name: (folder.data / name).read_bytes() for name in written} == written

    def test_rows_that_are_not_requested_are_unchanged(self, folder: StoreFolder) -> None:
        self.grow(folder, self.rows("a", "b"))
        assert set(self.grow(folder, self.rows("c")).row_by_id()) == {"a", "b", "c"}

    def test_a_row_whose_meaning_changed_is_refused_with_the_difference(
        self, folder: StoreFolder, files: Files
    ) -> None:
        self.grow(folder, self.rows("a", "b"))
        before = files(folder.data)
        with pytest.raises(UserError, match=r"'b' means something else.* stored, .* given"):
            self.grow(folder, self.changed("b"))
        assert files(folder.data) == before

    def test_a_new_word_gets_a_new_code_and_old_rows_keep_theirs(self, folder: StoreFolder) -> None:
        self.grow(folder, self.rows("a"))
        grown = self.grow(folder, self.changed("b"))
        row = grown.row_by_id()["b"]
        assert grown.row(0) == self.rows("a").row(0)
        assert grown.row(row) == self.changed("b").row(0)

    def test_an_id_too_long_for_the_store_is_refused_and_leaves_no_row(self, folder: StoreFolder) -> None:
        with pytest.raises(ValueError, match="longer than the 128 bytes"):
            self.grow(folder, self.rows("n" * 129))
        assert self.grow(folder, self.rows("a")).row_by_id() == {"a": 0}

    def test_a_kill_at_any_step_of_growth_leaves_a_store_that_reads_and_grows(
        self, folder: StoreFolder, tmp_path: Path, killed_at: Killed
    ) -> None:
        self.grow(folder, self.rows("a"))
        self.fill(folder, 0, 1)
        wanted = self.rows("a", "b", "c").concat(self.changed("d"))
        undisturbed = StoreFolder(tmp_path / "undisturbed")
        shutil.copytree(folder.root, undisturbed.root)
        grown = self.grow(undisturbed, wanted)
        function, before, after = self.add()
        steps = 0
        while True:
            victim = StoreFolder(tmp_path / f"killed at {steps}")
            shutil.copytree(folder.root, victim.root)
            if not killed_at(steps, function, victim, *before, wanted, *after):
                break
            self.reads(victim)
            assert self.grow(victim, wanted).row_by_id() == grown.row_by_id()
            # Once healed, a stranger's xarray can open it again.
            xr.open_zarr(victim.data, group=self.group, consolidated=False).load()
            assert differences(victim, undisturbed) == []
            shutil.rmtree(victim.root)
            steps += 17
        assert steps > 20

    def reads(self, folder: StoreFolder) -> None:
        """The reader works, and what had been written before is what it shows."""
        raise NotImplementedError


class TestCells(GrowingTable):
    block = 4
    group = "models/tiny/synthetic/answers"

    def rows(self, *names: str) -> Table:
        return self.make_cells(*names)

    def changed(self, name: str) -> Table:
        return self.make_cells(name, alpha=0.5, selector="Aardvark")

    def add(self) -> tuple[Any, ...]:
        return create.add_answers, ("tiny", "synthetic"), (self.block,)

    def fill(self, folder: StoreFolder, start: int, rows: int) -> list[str]:
        place = slice(start, start + self.block)
        return write.write_answers(folder, "tiny", "synthetic", place, **self.block_of_answers(rows, start))

    def reads(self, folder: StoreFolder) -> None:
        answers = read.open_answers(folder, "tiny", "synthetic")
        assert set(answers.cell.values) <= set("abcd")
        assert np.array_equal(answers.answer.sel(cell="a"), self.block_of_answers(1, 0)["answer"][0])
        assert read.open_answers(folder, "tiny", "synthetic", complete=True).cell.values.tolist() == ["a"]

    def test_another_block_size_is_refused(self, folder: StoreFolder) -> None:
        self.grow(folder, self.rows("a"))
        with pytest.raises(UserError, match="block 4 stored, 8 given"):
            create.add_answers(folder, "tiny", "synthetic", self.make_cells("a"), 8)

    def test_a_column_newer_than_the_store_reads_as_a_pad_and_is_made_by_growth_whatever_is_killed(
        self, folder: StoreFolder, tmp_path: Path, killed_at: Killed
    ) -> None:
        self.grow(folder, self.rows("baseline"))
        self.fill(folder, 0, 1)
        shutil.rmtree(folder.data / self.group / "tau")
        assert np.isnan(read.open_answers(folder, "tiny", "synthetic").tau).all()
        steps = 0
        while True:
            victim = StoreFolder(tmp_path / f"killed at {steps}")
            shutil.copytree(folder.root, victim.root)
            wanted = self.rows("baseline", "b")
            killed = killed_at(steps, create.add_answers, victim, "tiny", "synthetic", wanted, self.block)
            assert set(read.read_cells(victim, "tiny", "synthetic").row_by_id()) >= {"baseline"}
            assert self.grow(victim, wanted).row_by_id() == {"baseline": 0, "b": self.block}
            xr.open_zarr(victim.data, group=self.group, consolidated=False).load()
            np.testing.assert_array_equal(read.open_answers(victim, "tiny", "synthetic").tau, [np.nan, 0.5])
            if not killed:
                break
            steps += 3
        assert steps > 20

    def test_a_column_that_most_stores_do_not_need_is_made_when_a_row_first_has_a_value(
        self, folder: StoreFolder
    ) -> None:
        self.grow(folder, self.rows("baseline"))
        assert not (folder.data / self.group / "parameters").exists()
        assert "parameters" not in read.open_answers(folder, "tiny", "synthetic").coords
        with_parameters = CellTable.from_records([{**self.make_cells("a").record(0), "parameters": '{"width":2.0}'}])
        self.grow(folder, with_parameters)
        assert read.open_answers(folder, "tiny", "synthetic").parameters.values.tolist() == ["", '{"width":2.0}']
        assert not (folder.data / self.group / "provider").exists()


class TestMasks(GrowingTable):
    block = 1
    group = "models/tiny/masks"

    def rows(self, *names: str) -> Table:
        return self.make_masks(*names)

    def changed(self, name: str) -> Table:
        return self.make_masks(name, budget=10, selector="Aardvark")

    def add(self) -> tuple[Any, ...]:
        return create.add_masks, ("tiny",), ()

    def fill(self, folder: StoreFolder, start: int, rows: int) -> list[str]:
        member = np.zeros((1, 6, 16), bool)
        member[0, 2, 3:8] = True
        return write.write_masks(folder, "tiny", slice(start, start + 1), member=member, identified=[30])

    def reads(self, folder: StoreFolder) -> None:
        masks = read.open_masks(folder, "tiny")
        assert masks.mask.values.tolist() == ["a"]
        assert (int(masks["size"][0]), int(masks.member.sum()), int(masks.identified[0])) == (5, 5, 30)


def test_a_kill_while_a_group_is_made_never_shows_half_of_it(
    tmp_path: Path, killed_at: Killed, folder: StoreFolder, make_cells: Cells
) -> None:
    steps = 0
    while True:
        victim = StoreFolder(tmp_path / str(steps))
        shutil.copytree(folder.root, victim.root)
        if not killed_at(steps, create.add_model, victim, "second", 2, 8, {}):
            break
        described = read.describe(victim).models
        assert set(described) <= {"tiny", "second"}
        assert described.get("second", {"width": 8})["width"] == 8
        create.add_model(victim, "second", 2, 8, {})
        assert read.open_masks(victim, "second").sizes["mask"] == 0
        steps += 5
    assert steps > 20


def test_everything_can_be_added_twice(folder: StoreFolder, tables: dict[str, Any], files: Files) -> None:
    before = files(folder.data)
    create.create_root(folder, {"sweep": "test", "seed": 7})
    create.add_corpus(folder, "synthetic", ("anger", "joy", "sadness"), **tables, attributes={"licence": "none"})
    create.add_model(folder, "tiny", 6, 16, {"weights": "abc"})
    create.add_counts(folder, "tiny", "synthetic")
    assert files(folder.data) == before


def test_another_seed_is_refused_with_both_values(folder: StoreFolder) -> None:
    with pytest.raises(UserError, match="seed: 7 stored, 8 given"):
        create.create_root(folder, {"sweep": "test", "seed": 8})


def test_other_weights_are_refused(folder: StoreFolder) -> None:
    with pytest.raises(UserError, match="weights: 'abc' stored, 'xyz' given"):
        create.add_model(folder, "tiny", 6, 16, {"weights": "xyz"})


def test_a_changed_recording_is_refused_by_the_name_of_its_utterance(
    folder: StoreFolder, tables: dict[str, Any]
) -> None:
    rows = [list(tables["evaluation"].row(position)) for position in range(6)]
    rows[2][-1] = "0" * 64
    tables["evaluation"] = UtteranceTable.from_rows([tuple(row) for row in rows])
    with pytest.raises(UserError, match="utterance 'e2': sha256"):
        create.add_corpus(folder, "synthetic", ("anger", "joy", "sadness"), **tables, attributes={"licence": "none"})


def test_a_lost_utterance_is_refused(folder: StoreFolder, tables: dict[str, Any]) -> None:
    tables["evaluation"] = tables["evaluation"].take(range(5))
    with pytest.raises(UserError, match=r"1 ids only stored \['e5'\]"):
        create.add_corpus(folder, "synthetic", ("anger", "joy", "sadness"), **tables, attributes={"licence": "none"})


def test_an_identification_set_whose_shards_mix_emotions_is_refused(
    folder: StoreFolder, tables: dict[str, Any]
) -> None:
    mixed = tables["identification"].take(row for row, name in enumerate(tables["identification"].id) if name)
    tables["identification"] = mixed
    with pytest.raises(ValueError, match="whole shards of 32"):
        create.add_corpus(folder, "mixed", ("anger", "joy", "sadness"), **tables, attributes={})
    aligned = in_whole_shards(mixed, ("anger", "joy", "sadness"))
    assert len(aligned) == 128 and in_whole_shards(aligned, ("anger", "joy", "sadness")) == aligned


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "masks", "zarr.json", "-x", "a\n"])
def test_a_name_that_would_leave_its_folder_is_refused(folder: StoreFolder, name: str) -> None:
    with pytest.raises(UserError, match="is not a valid name of a model or corpus"):
        create.add_model(folder, name, 6, 16, {})

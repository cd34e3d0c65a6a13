"""Any order of growing, writing, publishing, dying and damaging: the store always says what a dictionary says."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from esn_dist.store import create, read, write
from esn_dist.store.done import damaged, done_units, publish, remove_partial_files, unmark
from esn_dist.store.folder import STAGING, StoreFolder
from esn_dist.store.lock import LeaseLost, Lock
from esn_dist.store.tables import CellTable, ExclusionTable, UtteranceTable

BLOCK = 2
EMOTIONS = ("anger", "joy")


def cell(number: int) -> tuple[object, ...]:
    return (f"c{number}", "steer", f"selector{number % 3}", "", "", number / 8, -1, "", float(number), 0.5)


class Store(RuleBasedStateMachine):
    """`cells` by id, the answers `written` by id, and `done` blocks with their files."""

    @initialize()
    def begin(self) -> None:
        self.folder = StoreFolder(Path(tempfile.mkdtemp()) / "sweep")
        self.lock = Lock(self.folder.backend)
        self.lease = self.lock.acquire()
        rows = [("u1", "s", "joy", (1, 2), "test", "p", 5, "0"), ("u2", "s", "anger", (2, 1), "test", "p", 5, "0")]
        create.create_root(self.folder, {})
        create.add_corpus(
            self.folder,
            "corpus",
            EMOTIONS,
            UtteranceTable.from_rows(rows),
            UtteranceTable.empty(),
            ExclusionTable.empty(),
            {},
        )
        create.add_model(self.folder, "model", 1, 2, {})
        self.placed = create.add_answers(self.folder, "model", "corpus", CellTable.empty(), BLOCK)
        self.cells: set[int] = set()
        self.written: dict[str, list[int]] = {}
        self.done: dict[str, list[str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.lock.release()
            shutil.rmtree(self.folder.root.parent)

    def blocks(self) -> list[int]:
        return [start for start in range(0, len(self.placed), BLOCK) if any(self.placed.id[start : start + BLOCK])]

    @rule(numbers=st.sets(st.integers(0, 30), max_size=5))
    def grow(self, numbers: set[int]) -> None:
        before = self.placed.row_by_id()
        self.placed = create.add_answers(
            self.folder, "model", "corpus", CellTable.from_rows([cell(number) for number in sorted(numbers)]), BLOCK
        )
        self.cells |= numbers
        assert before.items() <= self.placed.row_by_id().items()

    @precondition(lambda self: self.blocks())
    @rule(data=st.data(), mark=st.booleans())
    def write_block(self, data: st.DataObject, mark: bool) -> None:
        """Deterministic as a real unit; without `mark` the actor died before it published."""
        start = data.draw(st.sampled_from(self.blocks()))
        names = [name for name in self.placed.id[start : start + BLOCK] if name]
        answers = [[int(name[1:]) % 2, 1] for name in names]
        files = write.write_answers(
            self.folder,
            "model",
            "corpus",
            slice(start, start + BLOCK),
            answer=answers,
            outcome=np.ones((len(names), 2), int),
            logprob=np.zeros((len(names), 2, 2)),
            text=[["1", "2"]] * len(names),
        )
        self.written |= dict(zip(names, answers, strict=True))
        if mark:
            publish(self.folder, f"block/{start}", files, self.lease)
            self.done[f"block/{start}"] = files

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def lose_a_file(self, data: st.DataObject) -> None:
        """Damage is reported for the right unit, and is gone once that unit is unmarked and done again."""
        unit = data.draw(st.sampled_from(sorted(self.done)))
        file = self.folder.data / data.draw(st.sampled_from(self.done.pop(unit)))
        content = file.read_bytes()
        os.truncate(file, data.draw(st.integers(0, len(content) - 1)))
        assert [(damage.unit, self.folder.root / damage.file) for damage in damaged(self.folder)] == [(unit, file)]
        unmark(self.folder, unit)
        file.write_bytes(content)

    @rule()
    def driver_dies_and_another_comes(self) -> None:
        (self.folder.data / "models/.half.partial").touch()
        (self.folder.root / STAGING / "half").mkdir(parents=True)
        orphan = self.lease
        self.lock.release()
        self.lock = Lock(self.folder.backend)
        self.lease = self.lock.acquire()
        assert remove_partial_files(self.folder, self.lease) == 1
        try:
            publish(self.folder, "orphan's", ["zarr.json"], orphan)
            raise AssertionError("an orphan published")
        except LeaseLost:
            pass
        self.placed = read.read_cells(self.folder, "model", "corpus")

    @invariant()
    def the_store_says_what_the_dictionary_says(self) -> None:
        if not hasattr(self, "folder"):
            return
        assert done_units(self.folder) == self.done.keys()
        answers = read.open_answers(self.folder, "model", "corpus")
        names = answers.cell.values.tolist()
        assert set(names) == {f"c{number}" for number in self.cells}
        numbers = [int(name[1:]) for name in names]
        assert answers.selector.values.tolist() == [f"selector{number % 3}" for number in numbers]
        assert answers.alpha.values.tolist() == numbers
        assert answers.outcome.values.tolist() == [[1, 1] if name in self.written else [0, 0] for name in names]
        assert answers.answer.values.tolist() == [self.written.get(name, [-1, -1]) for name in names]


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=8, stateful_step_count=10, deadline=None)

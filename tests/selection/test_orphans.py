"""A mask whose corpus left the sweep: the run says so, finishes the rest, and never waits for it in silence."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from esn_dist.corpora.utterance import Clip, Utterance
from esn_dist.errors import UserError
from esn_dist.runner.mask_selection import MaskSelection
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.stages import ModelPlan, Stages
from esn_dist.store import create
from esn_dist.store.folder import StoreFolder
from esn_dist.store.tables import CellTable, ExclusionTable, MaskTable, UtteranceTable
from esn_dist.sweep.interventions import DEACTIVATE
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.units import AnswerUnit, EncodeUnit, SelectUnit
from esn_dist.terms import JOIN
from esn_dist.worker.job import CorpusItems

EMOTIONS = ("anger", "joy")
RANDOM = MaskKey("m", "RND", Decimal("0.1"), seed=0)
LOST = MaskKey("m", "MAD", Decimal("0.1"), "lost", "joy", size="auto", parts=("audio",))
POOLED = replace(LOST, corpus="here+lost")
CELLS = [Cell("m", "here"), *(Cell("m", "here", mask, -1.0, DEACTIVATE) for mask in (RANDOM, LOST, POOLED))]


def utterances() -> tuple[Clip, ...]:
    return tuple(Clip(Utterance(f"u{n}", "s", EMOTIONS[n % 2], "", Path(f"u{n}.wav")), 1, "0") for n in range(4))


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    """A store whose first plan had the corpus `lost`; its one block of cells is not answered yet."""
    made = StoreFolder(tmp_path / "sweep")
    create.create_root(made, {})
    rows = [(c.utterance.id, "s", c.utterance.emotion, (1, 2), "", "", 1, "0") for c in utterances()]
    create.add_corpus(
        made, "here", EMOTIONS, UtteranceTable.from_rows(rows), UtteranceTable.empty(), ExclusionTable.empty(), {}
    )
    create.add_model(made, "m", 2, 20, {})
    masks = [
        (k.id, str(k.selector), k.corpus, k.emotion, 0.1, k.seed, 0, JOIN.join(k.parts), 4)
        for k in (RANDOM, LOST, POOLED)
    ]
    create.add_masks(made, "m", MaskTable.from_rows(masks))
    nan = float("nan")
    cells = [(c.id, str(c.intervention), "", "", "", nan, -1, c.mask.id if c.mask else "", c.alpha, nan) for c in CELLS]
    create.add_answers(made, "m", "here", CellTable.from_rows(cells), 64)
    return made


def scheduled(folder: StoreFolder) -> Schedule:
    """As a driver does it whose sweep has the corpus `here` alone; everything that can be done is done."""
    items = CorpusItems("here", EMOTIONS, EMOTIONS, utterances(), ())
    schedule = Schedule()
    keys = {mask.id: mask for mask in (RANDOM, LOST, POOLED)}
    wanted = frozenset(cell.id for cell in CELLS[:2])
    stages = Stages(ModelPlan("m", {"here": items}, keys, wanted, (RANDOM,), {"here": 1}), folder, schedule)
    selection = MaskSelection(folder, "m", {"here": EMOTIONS}, {"here": 1}, 1)
    for _ in range(20):
        unit = schedule.next_ready("worker")
        match unit:
            case None:
                return schedule
            case SelectUnit():
                try:
                    selection.write(keys[unit.mask])
                except UserError as error:
                    schedule.give_up(unit.id, str(error))
                    continue
            case AnswerUnit():
                raise AssertionError("a block of cells was answered without one of its masks")
            case EncodeUnit():
                pass
        schedule.finish(unit.id)
        stages.unit_finished(unit.id)
    raise AssertionError("the schedule never came to an end")


def test_a_run_ends_and_names_the_corpus_that_is_gone_and_what_to_do(folder: StoreFolder) -> None:
    schedule = scheduled(folder)
    assert schedule.exhausted
    assert set(schedule.failed) == {f"select-m-{mask.id}" for mask in (LOST, POOLED)}
    for reason in schedule.failed.values():
        assert (
            "corpus lost was removed from the sweep, but a mask still needs it" in reason
            and "put the corpus back" in reason
        )
    assert schedule.remaining == 1, "the block of cells that needs them"


def test_masks_that_were_selected_in_time_are_needed_no_more(folder: StoreFolder) -> None:
    schedule = Schedule([f"select-m-{mask.id}" for mask in (LOST, POOLED)])
    items = CorpusItems("here", EMOTIONS, EMOTIONS, utterances(), ())
    keys = {mask.id: mask for mask in (RANDOM, LOST, POOLED)}
    wanted = frozenset(cell.id for cell in CELLS[:2])
    Stages(ModelPlan("m", {"here": items}, keys, wanted, (RANDOM,), {"here": 1}), folder, schedule)
    while unit := schedule.next_ready("worker"):
        schedule.finish(unit.id)
    assert schedule.exhausted and not schedule.remaining and not schedule.failed


def test_a_mask_that_another_version_of_a_package_was_to_select_is_refused(folder: StoreFolder) -> None:
    """The id says which version; a mask that the installed one computes would be another."""
    selection = MaskSelection(folder, "m", {"here": EMOTIONS}, {"here": 1}, 1)
    foreign = replace(RANDOM, selector="top-p", corpus="here", size="auto", parts=("audio",), provider="extras==1.0:ab")
    with pytest.raises(UserError, match=r"need extras==1\.0:ab; installed: none"):
        selection.write(foreign)

"""A study with `reach` from its first round to the report, in a store that the writer's own functions made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import yaml

from esn_dist.analysis.measured_effects import EffectSettings
from esn_dist.report.document import Document, Section
from esn_dist.report.markdown import markdown
from esn_dist.report.results import ReportSettings, Results
from esn_dist.report.searches import Search, searches
from esn_dist.report.sections.searches import search_section, searched_studies
from esn_dist.runner.search_rounds import next_round
from esn_dist.store import create, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells
from esn_dist.store.run_log import RunLog
from esn_dist.store.tables import CellTable, ExclusionTable, MaskTable, UtteranceTable, in_whole_shards
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_log import logged_studies
from esn_dist.terms import JOIN

EMOTIONS = ("anger", "joy")
EACH, BLOCK = 20, 8
YAML = """
name: few
seed: 1
models: [{name: tiny, model: tiny-qwen2.5-omni}]
corpora: [{name: studio, type: synthetic, condition: studio, emotions: [anger, joy]}]
studies:
  smallest:
    selectors: [LAP, MAD, ConAct]
    fractions: [1 %, 2 %, 4 %, 8 %]
    reach: 0.5
    interventions: [deactivate]
"""
# Right answers that deactivation costs the mask's own emotion, of 20: LAP's masks do nothing.
LOST = {"MAD": {"0.01": 1, "0.02": 6, "0.04": 8, "0.08": 10}, "ConAct": {"0.01": 9, "0.04": 12, "0.02": 11, "0.08": 16}}


@pytest.fixture
def begun(tmp_path: Path) -> StoreFolder:
    """A store before its first cell, with the YAML of the run in its provenance."""
    folder = StoreFolder(tmp_path / "few")
    create.create_root(folder, {"sweep": "few", "seed": 1})
    labels = [emotion for emotion in EMOTIONS for _ in range(EACH)]
    evaluation, pool = _utterances("e", labels), in_whole_shards(_utterances("i", labels), EMOTIONS)
    nothing = ExclusionTable.from_rows([])
    create.add_corpus(folder, "studio", EMOTIONS, evaluation, pool, nothing, {"type": "synthetic"})
    create.add_model(folder, "tiny", 2, 8, {"weights": "abc", "model": "tiny-qwen2.5-omni"})
    create.add_masks(folder, "tiny", MaskTable.from_rows([]))
    folder.provenance.mkdir()
    (folder.provenance / "run.json").write_text(json.dumps({"sweep": YAML}), encoding="utf-8")
    return folder


def _utterances(prefix: str, labels: Sequence[str]) -> UtteranceTable:
    rows = [
        (f"{prefix}{n}", f"s{n % 3}", label, (1, 2), "test", f"{prefix}{n}.wav", 16000, f"{n:064x}")
        for n, label in enumerate(labels)
    ]
    return UtteranceTable.from_rows(rows)


def ask(folder: StoreFolder, cells: Sequence[Cell]) -> None:
    """Append a round's cells and answer them."""
    masks = [m for cell in cells for m in cell.masks]
    create.add_masks(folder, "tiny", MaskTable.from_rows([_mask_row(m) for m in masks]))
    create.add_answers(folder, "tiny", "studio", CellTable.from_rows(list(map(_row, cells))), block=BLOCK)
    first = read_cells(folder, "tiny", "studio").row_by_id()[cells[0].id]
    answer = np.array([_answers(cell) for cell in cells])
    write.write_answers(
        folder, "tiny", "studio", slice(first, first + BLOCK), answer=answer, outcome=np.ones(answer.shape, int),
        logprob=np.zeros((*answer.shape, 2), np.float32), text=[["1"] * answer.shape[1]] * len(cells),
    )  # fmt: skip


def _row(cell: Cell) -> tuple[object, ...]:
    if cell.mask is None:
        return (cell.id, cell.intervention, "", "", "", float("nan"), -1, "", 0.0, float("nan"))
    key = cell.mask
    whose = (key.selector, key.corpus, cell.source_emotion, float(key.fraction), key.seed, key.id)
    return (cell.id, cell.intervention, *whose, cell.alpha, float("nan"))


def _mask_row(key: MaskKey) -> tuple[object, ...]:
    whose = (key.selector, key.corpus, key.emotion, float(key.fraction), key.seed)
    return (key.id, *whose, 0, JOIN.join(key.parts), int(key.fraction * 16))


def _answers(cell: Cell) -> list[int]:
    right = [0] * EACH + [1] * EACH
    if cell.mask is None or cell.mask.selector == "LAP":
        return right
    source = EMOTIONS.index(cell.source_emotion)
    lost = LOST[cell.mask.selector][format(cell.mask.fraction.normalize(), "f")]
    return [1 - label if label == source and n % EACH < lost else label for n, label in enumerate(right)]


def report(folder: StoreFolder) -> Results:
    return Results(folder, ReportSettings(EffectSettings(draws=200)))


def found_searches(results: Results) -> list[Search]:
    return searches(results.answers, searched_studies(results), results.rows)


def test_rounds_are_asked_until_the_report_names_the_smallest_fraction_of_each_selector(begun: StoreFolder) -> None:
    sweep = Sweep.model_validate(yaml.safe_load(YAML))
    added: dict[str, tuple[Cell, ...]] = {}
    new: tuple[Cell, ...] = plan(sweep).cells
    outcomes = []
    while new:
        ask(begun, new)
        outcomes.append({s.smallest.condition.selector: s.result_text for s in found_searches(report(begun))})
        new = next_round(sweep, plan(sweep, added), begun, "tiny").get("smallest", ())
        added["smallest"] = (*added.get("smallest", ()), *new)
    assert outcomes == [
        {"LAP": "the largest r has no effect", "MAD": f"not finished: r = {r} has not run",
         "ConAct": f"not finished: r = {r} has not run"} for r in ("2 %", "1 %")
    ] + [{"LAP": "the largest r has no effect", "MAD": "r = 2 %", "ConAct": "r = 1 %"}]  # fmt: skip
    results = report(begun)
    mad, conact = found_searches(results)[1:]
    assert conact.smallest.gaps == pytest.approx({Decimal("0.01"): -45, Decimal("0.02"): -55, Decimal("0.08"): -80})
    assert (
        (mad.largest_gap.point, mad.gap_may_be_zero) == (-50, False)
        and mad.largest_gap.low is not None
        and mad.largest_gap.low < -50
    )
    section = search_section(results)
    assert isinstance(section, Section)
    text = markdown(Document("few", (section,)))
    lines = [line for line in text.splitlines() if line.startswith("| smallest |")]
    assert len(lines) == 3 and "| 50 % | r = 2 % | 1 %: -5.0; 2 %: -30.0; 8 %: -50.0 |" in lines[1]
    assert "| 0.0 [0.0, 0.0] | 50 % | the largest r has no effect |" in lines[0]
    rows = section.csv["searches"]
    assert [row["fraction"] for row in rows if row["selector"] == "ConAct"] == [0.01, 0.02, 0.08]
    assert [row["gap_low"] is not None for row in rows if row["selector"] == "ConAct"] == [False, False, True]


def test_a_share_of_a_gap_that_may_be_nothing_is_doubtful(begun: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOST, "MAD", {"0.08": 1})
    sweep = Sweep.model_validate(yaml.safe_load(YAML))
    cells = plan(sweep.model_copy(update={"studies": {"s": sweep.studies["smallest"]}})).cells
    ask(begun, [c for c in cells if c.mask is None or c.mask.selector == "MAD"])
    (mad,) = found_searches(report(begun))
    assert mad.gap_may_be_zero and mad.result_text.startswith("not finished")


def test_the_run_log_names_the_studies_that_searched_before_the_provenance_does(begun: StoreFolder) -> None:
    sweep = Sweep.model_validate(yaml.safe_load(YAML))
    ask(begun, plan(sweep).cells)
    from_provenance = found_searches(report(begun))
    RunLog(begun).write_studies(logged_studies(sweep, plan(sweep)))
    (begun.provenance / "run.json").unlink()
    assert found_searches(report(begun)) == from_provenance and len(from_provenance) == 3
    renamed = sweep.model_copy(update={"studies": {"again": sweep.studies["smallest"]}})
    RunLog(begun).write_studies(logged_studies(renamed, plan(renamed)))
    assert {search.study for search in found_searches(report(begun))} == {"smallest", "again"}

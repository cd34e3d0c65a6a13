"""What goes beyond the paper's tables, in the report: pairs, adaptive searches, columns that differ in one setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from esn_dist.analysis.bootstrap import UNDEFINED
from esn_dist.analysis.locality import overlap, related
from esn_dist.analysis.measure import EffectSettings, measure
from esn_dist.analysis.significance import CELL, ENTRY, GAP, significance
from esn_dist.analysis.summary import EffectRow, baseline_rows, effect_rows
from esn_dist.report.findings import Findings, Settings, finished, stabilities
from esn_dist.report.markdown import markdown
from esn_dist.report.pairs import pair_matrices, pair_rows, pair_section
from esn_dist.report.searches import search_rows, search_section, searches
from esn_dist.report.tables import effect_tables, json_rows
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import describe, open_masks

DRAWS = EffectSettings(draws=20)
READING: dict[str, Any] = {"draws": 50, "seed": 0, "by_speaker": False, "invalid_is_wrong": True}
SWEEP = """
name: search
seed: 1
models: [{name: tiny, model: tiny-qwen2.5-omni}]
corpora:
  - {name: studio, type: synthetic, condition: studio, emotions: [anger, joy, sadness]}
studies:
  smallest:
    selectors: [ConAct]
    fractions: [2.5 %, 5 %, 10 %]
    reach: 0.5
    interventions: [deactivate]
"""


@pytest.fixture(scope="module")
def answers(small_store: Path) -> xr.Dataset:
    return finished(StoreFolder(small_store))[0]["tiny", "studio"]


def rows_of(answers: xr.Dataset) -> list[EffectRow]:
    return effect_rows([measure(answers, DRAWS)])


def conact(answers: xr.Dataset) -> xr.Dataset:
    own = (answers.selector == "ConAct") & (answers.intervention == "deactivate")
    return answers.isel(cell=own.values)


def changed(cells: xr.Dataset, name: str, **coordinates: Any) -> xr.Dataset:
    """The same cells under other coordinates and ids."""
    ids = [f"{cell}-{name}" for cell in cells.cell.values]
    said: dict[str, Any] = {k: ("cell", [v] * len(ids)) for k, v in coordinates.items()}
    return cells.assign_coords(cell=ids, **said)


def joined(*parts: xr.Dataset) -> xr.Dataset:
    return xr.concat(parts, "cell", data_vars="minimal", coords="minimal", compat="override", join="override")


def test_two_pass_comes_with_the_finished_cells_of_every_report(findings: Findings, answers: xr.Dataset) -> None:
    assert (answers.intervention == "two-pass").sum() == 2 * (2 + 1 + 1)  # gains × (RND's seeds, MAD, ConAct)
    found = {
        (c.selector, c.alpha)
        for r in findings.rows
        if r.corpus == "studio"
        for c in [r.condition]
        if c.intervention == "two-pass"
    }
    assert found == {(s, a) for s in ("RND", "MAD", "ConAct") for a in (0.3, 1.0)}
    rows = [r for r in findings.rows if (r.corpus, r.condition.selector, r.condition.alpha) == ("studio", "RND", 0.3)]
    steer, two_pass = sorted(rows, key=lambda row: row.condition.intervention)
    assert steer.self_effect == two_pass.self_effect, "RND's second pass is its steering cell"
    assert steer.accuracy == two_pass.accuracy != UNDEFINED


def test_masks_that_differ_in_size_or_parts_have_tables_and_json_rows_that_say_so(answers: xr.Dataset) -> None:
    small = changed(conact(answers), "small", identification_size=10)
    audio = changed(conact(answers), "audio", parts="audio")
    rows = rows_of(joined(answers, small, audio))
    tables = effect_tables(rows)
    assert [(t.identification_size, t.parts) for t in tables if not t.transfer_from] == [
        (0, ""),
        (10, ""),
        (0, "audio"),
    ]
    # RND rests on no counts and stands beside all of them; nothing stands twice in one table.
    for table in tables:
        for half in table.halves:
            assert half.selectors[0] == "RND" and len(set(half.selectors)) == len(half.selectors)
    said = [tuple((k, v) for k, v in row.items() if isinstance(v, str | float | int)) for row in json_rows(rows)]
    assert len({tuple(x for x in row if x[0] in NAMES) for row in said}) == len(rows)


NAMES = (
    "model", "corpus", "selector", "intervention", "alpha", "fraction", "source_corpus", "tau", "identification_size",
    "parts",
)  # fmt: skip


def test_rnd_stands_beside_masks_of_another_corpus_and_of_a_file(answers: xr.Dataset) -> None:
    """The control has the same budget: RND of another fraction is none."""
    elsewhere = changed(conact(answers), "elsewhere", source_corpus="room")
    shared = changed(conact(answers), "file", selector="file", source_corpus="file:0123456789ab")
    other = changed(conact(answers), "other", source_corpus="room", fraction=0.2)
    tables = effect_tables(rows_of(joined(answers, elsewhere, shared, other)))
    found = {(t.transfer_from, t.fraction): t.halves[0].selectors for t in tables}
    assert found["room", 0.1] == ("RND", "ConAct") and found["file:0123456789ab", 0.1] == ("RND", "file")
    assert found["room", 0.2] == ("ConAct",)
    own, *_ = (t.halves[0].columns[0] for t in tables if t.transfer_from == "")
    beside, *_ = (t.halves[0].columns[0] for t in tables if t.transfer_from == "room")
    assert own == beside and own.condition.selector == "RND"


def test_losses_of_rnd_are_told_once_whatever_it_stands_beside(answers: xr.Dataset) -> None:
    elsewhere = changed(conact(answers), "elsewhere", source_corpus="room")
    text = markdown(rows_of(joined(answers, elsewhere)), baseline_rows([measure(answers, DRAWS)]), {})
    lines = [line for line in text.splitlines() if "| Deactivation, RND, r = 10 % |" in line]
    assert len(lines) == 1 and "Deactivation, ConAct, r = 10 %, masks from room |" in text


def test_rnd_stands_beside_masks_of_a_size_that_was_asked_for(answers: xr.Dataset) -> None:
    own = changed(conact(answers), "sized", identification_size=30)
    random = answers.isel(cell=np.isin(answers.intervention, ["baseline"]) | (answers.selector == "RND").values)
    (table,) = effect_tables(rows_of(joined(random, own)))
    assert [half.selectors for half in table.halves] == [("RND", "ConAct")]


def pairs_of(answers: xr.Dataset) -> xr.Dataset:
    """Co-deactivation of all pairs: the first of its emotions' cells, as if the second mask did nothing."""
    cells = conact(answers)
    pairs = [("anger", "joy"), ("anger", "sadness"), ("joy", "sadness")]
    of = {str(e): at for at, e in enumerate(cells.source_emotion.values)}
    made = changed(cells.isel(cell=[of[a] for a, _ in pairs]), "pair", intervention="co-deactivate")
    return made.assign_coords(source_emotion=("cell", ["+".join(pair) for pair in pairs]))


def test_the_interaction_matrix_is_in_the_report_and_needs_the_single_emotions(answers: xr.Dataset) -> None:
    place = ("tiny", "studio")
    (found,), notes = pair_matrices({place: joined(answers, pairs_of(answers))}, **READING)
    rows = list(pair_rows([found]))
    assert [(r["first"], r["second"]) for r in rows] == [("anger", "joy"), ("anger", "sadness"), ("joy", "sadness")]
    frame = {r["first"] + r["second"]: r for r in rows}
    single = {str(e): at for at, e in enumerate(conact(answers).source_emotion.values)}
    assert set(single) == {"anger", "joy", "sadness"} and not notes
    assert frame["angerjoy"]["own_low"] <= frame["angerjoy"]["own"] <= frame["angerjoy"]["own_high"]
    text = "\n\n".join(pair_section([found]))
    assert "tiny on studio: Co-deactivation, ConAct, r = 10 %" in text and text.count("| anger |") == 2
    without = answers.isel(cell=(answers.selector != "ConAct").values)
    none, notes = pair_matrices({place: joined(without, pairs_of(answers))}, **READING)
    assert not none and "their single emotions did not" in notes[0]


def test_an_adaptive_study_s_outcome_is_read_from_the_yaml_of_its_run(answers: xr.Dataset) -> None:
    place = ("tiny", "studio")
    (begun,) = searches({place: answers}, ["name: small", SWEEP], [])
    assert begun.outcome == "not finished: r = 2.5 % has not run"
    weak = changed(conact(answers), "2.5", fraction=0.025)
    for name in ("answer", "outcome"):  # the smallest mask does nothing: its cells are the baseline
        weak[name] = weak[name].copy(
            data=np.repeat(answers[name].sel(cell=["base"]).values, weak.sizes["cell"], axis=0)
        )
    (half,) = searches({place: joined(answers, weak)}, [SWEEP], [])
    assert half.outcome == "not finished: r = 5 % has not run"
    (over,) = searches({place: joined(answers, changed(conact(answers), "5", fraction=0.05), weak)}, [SWEEP], [])
    assert over.outcome == "r = 5 %" and float(next(iter(over.found.gaps.values()))) == 0
    assert [row["fraction"] for row in search_rows([over])] == [0.025, 0.05, 0.1]
    assert "| smallest | tiny | studio |" in "\n".join(search_section([over]))


def test_a_search_that_another_yaml_took_out_or_that_is_unreadable_is_not_shown(answers: xr.Dataset) -> None:
    assert searches({("tiny", "studio"): answers}, ["{", "name: small"], []) == []
    assert searches({("other", "studio"): answers}, [SWEEP], []) == []
    assert list(search_section([])) == list(pair_section([])) == []


def test_macro_rows_have_no_accuracy_where_there_are_source_emotions(findings: Findings) -> None:
    assert all((row.accuracy == UNDEFINED) == bool(row.sources) for row in findings.rows)
    assert any(replace(row, accuracy=UNDEFINED) != row for row in findings.rows)


def test_stability_covers_pooled_corpora_and_every_way_of_identifying(small_store: Path) -> None:
    folder = StoreFolder(small_store)
    masks = open_masks(folder, "tiny")
    own = masks.isel(mask=(masks["selector"] == "MAD").values & (masks["source_corpus"] == "studio").values)
    pooled = changed_masks(own, source_corpus="studio+room")
    sized = changed_masks(own, identification_size=9, parts="text")
    found = list(
        stabilities(folder, describe(folder), {"tiny": joined_masks(own, pooled, sized)}, Settings(stability=2))
    )
    assert [(one.attrs["corpus"], one.attrs["identified"], one.attrs["parts"]) for one in found] == [
        ("studio", 30, "audio+text+generated"), ("studio+room", 60, "audio+text+generated"), ("studio", 9, "text"),
    ]  # fmt: skip


def changed_masks(masks: xr.Dataset, **coordinates: Any) -> xr.Dataset:
    said: dict[str, Any] = {k: ("mask", [v] * masks.sizes["mask"]) for k, v in coordinates.items()}
    return masks.assign_coords(**said)


def joined_masks(*parts: xr.Dataset) -> xr.Dataset:
    return xr.concat([part.load() for part in parts], "mask")


def test_unions_are_no_row_of_figure_4_and_no_overlap_with_their_parts(small_store: Path) -> None:
    masks = open_masks(StoreFolder(small_store), "tiny")
    own = masks.isel(mask=(masks["selector"] == "MAD").values & (masks["source_corpus"] == "studio").values)
    union = changed_masks(own.isel(mask=[0]), source_emotion="anger+joy+sadness")
    pairs = list(related(overlap(joined_masks(own, union))))
    assert {pair.one for pair in pairs} | {pair.other for pair in pairs} == {"anger", "joy", "sadness"}
    assert len(pairs) == 3


def test_joined_masks_have_no_gap_test_since_nothing_can_be_exchanged(answers: xr.Dataset) -> None:
    found = significance([joined(answers, pairs_of(answers))])
    assert {v.question for v in found if v.condition.intervention == "co-deactivate"} == {CELL, ENTRY}
    assert any(v.question == GAP and v.p is not None for v in found)

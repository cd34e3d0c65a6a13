"""Sections of the report: each is listed; tables by origin of the masks, pairs, searches and stability."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from esn_dist.analysis.bootstrap import UNDEFINED
from esn_dist.analysis.flat_rows import json_effect
from esn_dist.analysis.locality import overlap, related
from esn_dist.analysis.measured_effects import EffectSettings, measure
from esn_dist.analysis.significance import CELL, ENTRY, GAP, significance
from esn_dist.analysis.summary import EffectRow, baseline_rows, effect_rows
from esn_dist.report import sections
from esn_dist.report.csv_files import csv_files
from esn_dist.report.document import Count, Document, Section, table
from esn_dist.report.effect_tables import effect_tables
from esn_dist.report.html_page import html_page
from esn_dist.report.latex import latex
from esn_dist.report.markdown import markdown
from esn_dist.report.results import Results, finished_answers
from esn_dist.report.searches import search_rows, searches, studies_of_provenance
from esn_dist.report.sections.builders import COMPLETE, SUMMARY, build_document
from esn_dist.report.sections.missing_answers import missing_answer_table
from esn_dist.report.sections.overview import overview_section
from esn_dist.report.sections.pairs import pair_matrices, pair_matrices_section, pair_rows, without_single_emotions
from esn_dist.report.sections.searches import searches_section
from esn_dist.report.sections.stability import stabilities
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import describe, open_masks

DRAWS = EffectSettings(draws=20)
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


def test_every_section_s_module_is_listed_and_every_id_and_csv_file_is_unique(document: Document) -> None:
    modules = {path.stem for path in Path(sections.__file__).parent.glob("*.py")} - {"__init__", "builders"}
    assert {builder.__module__.rpartition(".")[2] for builder in COMPLETE} == modules
    assert set(SUMMARY) <= set(COMPLETE)
    for names in ([section.id for section in document.sections], [n for s in document.sections for n in s.csv]):
        assert len(set(names)) == len(names)


def test_a_new_table_is_rendered_everywhere_once_its_builder_is_listed(results: Results) -> None:
    def one_table(results: Results) -> Section:
        shown = table(("Model",), ("Cells",), [[results.title, Count(3)]], caption="How many cells.")
        return Section("cells", "Cells", (shown,), {"cells": [{"model": results.title, "cells": 3}]})

    document = build_document(results, [one_table])
    assert "| small | 3 |" in markdown(document) and "small & $3$" in latex(document)
    assert '["small",["3","",""]]' in html_page(document) and csv_files(document) == {
        "cells": "model,cells\r\nsmall,3\r\n"
    }


@pytest.fixture(scope="module")
def answers(small_store: Path) -> xr.Dataset:
    return finished_answers(StoreFolder(small_store))[0]["tiny", "studio"]


def rows_of(answers: xr.Dataset) -> list[EffectRow]:
    return effect_rows([measure(answers, DRAWS)])


def conact(answers: xr.Dataset) -> xr.Dataset:
    deactivated = (answers.selector == "ConAct") & (answers.intervention == "deactivate")
    return answers.isel(cell=deactivated.values)


def changed(cells: xr.Dataset, name: str, **coordinates: Any) -> xr.Dataset:
    """The same cells under other coordinates and ids."""
    ids = [f"{cell}-{name}" for cell in cells.cell.values]
    columns: dict[str, Any] = {k: ("cell", [v] * len(ids)) for k, v in coordinates.items()}
    return cells.assign_coords(cell=ids, **columns)


def joined(*parts: xr.Dataset) -> xr.Dataset:
    return xr.concat(parts, "cell", data_vars="minimal", coords="minimal", compat="override", join="override")


def test_two_pass_comes_with_the_finished_cells_of_every_report(results: Results, answers: xr.Dataset) -> None:
    assert (answers.intervention == "two-pass").sum() == 2 * (2 + 1 + 1)  # gains × (RND's seeds, MAD, ConAct)
    compared = {
        (c.selector, c.alpha)
        for r in results.rows
        if r.corpus == "studio"
        for c in [r.condition]
        if c.intervention == "two-pass"
    }
    assert compared == {(s, a) for s in ("RND", "MAD", "ConAct") for a in (0.3, 1.0)}
    rows = [r for r in results.rows if (r.corpus, r.condition.selector, r.condition.alpha) == ("studio", "RND", 0.3)]
    steer, two_pass = sorted(rows, key=lambda row: row.condition.intervention)
    assert steer.self_effect == two_pass.self_effect, "RND's second pass is its steering cell"
    assert steer.accuracy == two_pass.accuracy != UNDEFINED


def test_masks_that_differ_in_size_or_parts_have_tables_and_json_rows_of_their_own(answers: xr.Dataset) -> None:
    small = changed(conact(answers), "small", identification_size=10)
    audio = changed(conact(answers), "audio", parts="audio")
    rows = rows_of(joined(answers, small, audio))
    tables = effect_tables(rows)
    assert [(t.origin.identification_size, t.origin.parts) for t in tables if not t.origin.transfer_from] == [
        (0, ""),
        (10, ""),
        (0, "audio"),
    ]
    # RND uses no counts and is in all of them; nothing is twice in one table.
    for effect_table in tables:
        for columns in effect_table.interventions:
            assert columns.selectors[0] == "RND" and len(set(columns.selectors)) == len(columns.selectors)
    printed = [
        tuple((k, v) for k, v in row.items() if isinstance(v, str | float | int)) for row in map(json_effect, rows)
    ]
    assert len({tuple(x for x in row if x[0] in NAMES) for row in printed}) == len(rows)


NAMES = (
    "model", "corpus", "selector", "intervention", "alpha", "fraction", "source_corpus", "tau", "identification_size",
    "parts",
)  # fmt: skip


def test_rnd_is_in_the_tables_of_masks_of_another_corpus_and_of_a_file(answers: xr.Dataset) -> None:
    """The control has the same budget: RND of another fraction is none."""
    elsewhere = changed(conact(answers), "elsewhere", source_corpus="room")
    shared = changed(conact(answers), "file", selector="file", source_corpus="file:0123456789ab")
    other = changed(conact(answers), "other", source_corpus="room", fraction=0.2)
    tables = effect_tables(rows_of(joined(answers, elsewhere, shared, other)))
    compared = {(t.origin.transfer_from, t.origin.fraction): t.interventions[0].selectors for t in tables}
    assert compared["room", 0.1] == ("RND", "ConAct") and compared["file:0123456789ab", 0.1] == ("RND", "file")
    assert compared["room", 0.2] == ("ConAct",)
    same_corpus, *_ = (t.interventions[0].rows[0] for t in tables if t.origin.transfer_from == "")
    other_corpus, *_ = (t.interventions[0].rows[0] for t in tables if t.origin.transfer_from == "room")
    assert same_corpus == other_corpus and same_corpus.condition.selector == "RND"


def test_missing_answers_of_rnd_are_counted_once_however_many_tables_it_is_in(answers: xr.Dataset) -> None:
    elsewhere = changed(conact(answers), "elsewhere", source_corpus="room")
    rows = rows_of(joined(answers, elsewhere))
    missing = missing_answer_table(rows, baseline_rows([measure(answers, DRAWS)]))
    text = markdown(Document("t", (Section("s", "S", (missing,)),)))
    lines = [line for line in text.splitlines() if "| Deactivation, RND, r = 10 % |" in line]
    assert len(lines) == 1 and "Deactivation, ConAct, r = 10 %, masks from room |" in text


def test_rnd_is_in_the_table_of_masks_of_a_requested_size(answers: xr.Dataset) -> None:
    sized = changed(conact(answers), "sized", identification_size=30)
    random = answers.isel(cell=np.isin(answers.intervention, ["baseline"]) | (answers.selector == "RND").values)
    (effect_table,) = effect_tables(rows_of(joined(random, sized)))
    assert [columns.selectors for columns in effect_table.interventions] == [("RND", "ConAct")]


def pairs_of(answers: xr.Dataset) -> xr.Dataset:
    """Co-deactivation of all pairs: the first of its emotions' cells, as if the second mask did nothing."""
    cells = conact(answers)
    pairs = [("anger", "joy"), ("anger", "sadness"), ("joy", "sadness")]
    of = {str(e): index for index, e in enumerate(cells.source_emotion.values)}
    made = changed(cells.isel(cell=[of[a] for a, _ in pairs]), "pair", intervention="co-deactivate")
    return made.assign_coords(source_emotion=("cell", ["+".join(pair) for pair in pairs]))


def test_the_interaction_matrix_is_in_the_report_and_needs_the_single_emotions(
    results: Results, answers: xr.Dataset
) -> None:
    place = ("tiny", "studio")
    (compared,) = pair_matrices({place: measure(joined(answers, pairs_of(answers)), DRAWS)}, DRAWS)
    rows = list(pair_rows([compared]))
    assert [(r["first"], r["second"]) for r in rows] == [("anger", "joy"), ("anger", "sadness"), ("joy", "sadness")]
    frame = {r["first"] + r["second"]: r for r in rows}
    single = {str(e): index for index, e in enumerate(conact(answers).source_emotion.values)}
    assert set(single) == {"anger", "joy", "sadness"}
    assert frame["angerjoy"]["own_low"] <= frame["angerjoy"]["own"] <= frame["angerjoy"]["own_high"]
    section = pair_matrices_section([compared])
    assert section is not None
    text = markdown(Document("t", (section,)))
    assert "tiny on studio: Co-deactivation, ConAct, r = 10 %" in text and text.count("| anger |") == 2
    without = answers.isel(cell=(answers.selector != "ConAct").values)
    alone = copy(results)
    alone.measured = {place: measure(joined(without, pairs_of(answers)), DRAWS)}
    assert not pair_matrices(alone.measured, DRAWS)
    assert "their single emotions did not" in next(without_single_emotions(alone))


def test_an_adaptive_study_s_outcome_is_read_from_the_yaml_of_a_run_that_logged_no_studies(answers: xr.Dataset) -> None:
    place = ("tiny", "studio")
    studies = studies_of_provenance(["name: small", SWEEP])
    (begun,) = searches({place: answers}, studies, [])
    assert begun.result_text == "not finished: r = 2.5 % has not run"
    weak = changed(conact(answers), "2.5", fraction=0.025)
    for name in ("answer", "outcome"):  # the smallest mask does nothing: its cells are the baseline
        weak[name] = weak[name].copy(
            data=np.repeat(answers[name].sel(cell=["base"]).values, weak.sizes["cell"], axis=0)
        )
    (half,) = searches({place: joined(answers, weak)}, studies, [])
    assert half.result_text == "not finished: r = 5 % has not run"
    (over,) = searches({place: joined(answers, changed(conact(answers), "5", fraction=0.05), weak)}, studies, [])
    assert over.result_text == "r = 5 %" and float(next(iter(over.smallest.gaps.values()))) == 0
    assert [row["fraction"] for row in search_rows([over])] == [0.025, 0.05, 0.1]
    section = searches_section([over])
    assert section is not None and "| smallest | tiny | studio |" in markdown(Document("t", (section,)))


def test_a_search_that_no_readable_yaml_has_is_not_shown(answers: xr.Dataset) -> None:
    assert searches({("tiny", "studio"): answers}, studies_of_provenance(["{", "name: small"]), []) == []
    assert searches({("other", "studio"): answers}, studies_of_provenance([SWEEP]), []) == []
    assert searches_section([]) is None and pair_matrices_section([]) is None


def test_macro_rows_have_no_accuracy_where_there_are_source_emotions(results: Results) -> None:
    assert all((row.accuracy == UNDEFINED) == bool(row.sources) for row in results.rows)
    assert any(replace(row, accuracy=UNDEFINED) != row for row in results.rows)


def test_stability_covers_pooled_corpora_and_every_way_of_identifying(small_store: Path) -> None:
    folder = StoreFolder(small_store)
    masks = open_masks(folder, "tiny")
    mad = masks.isel(mask=(masks["selector"] == "MAD").values & (masks["source_corpus"] == "studio").values)
    pooled = changed_masks(mad, source_corpus="studio+room")
    sized = changed_masks(mad, identification_size=9, parts="text")
    compared = list(stabilities(folder, describe(folder), {"tiny": joined_masks(mad, pooled, sized)}, draws=2, seed=0))
    assert [(table.attrs["corpus"], table.attrs["identified"], table.attrs["parts"]) for table in compared] == [
        ("studio", 30, "audio+text+generated"), ("studio+room", 60, "audio+text+generated"), ("studio", 9, "text"),
    ]  # fmt: skip


def changed_masks(masks: xr.Dataset, **coordinates: Any) -> xr.Dataset:
    columns: dict[str, Any] = {k: ("mask", [v] * masks.sizes["mask"]) for k, v in coordinates.items()}
    return masks.assign_coords(**columns)


def joined_masks(*parts: xr.Dataset) -> xr.Dataset:
    return xr.concat([part.load() for part in parts], "mask")


def test_unions_are_no_row_of_figure_4_and_no_overlap_with_their_parts(small_store: Path) -> None:
    masks = open_masks(StoreFolder(small_store), "tiny")
    mad = masks.isel(mask=(masks["selector"] == "MAD").values & (masks["source_corpus"] == "studio").values)
    union = changed_masks(mad.isel(mask=[0]), source_emotion="anger+joy+sadness")
    pairs = list(related(overlap(joined_masks(mad, union))))
    assert {pair.first for pair in pairs} | {pair.second for pair in pairs} == {"anger", "joy", "sadness"}
    assert len(pairs) == 3


def test_joined_masks_have_no_gap_test_since_nothing_can_be_exchanged(answers: xr.Dataset) -> None:
    compared = significance([joined(answers, pairs_of(answers))])
    assert {v.question for v in compared if v.condition.intervention == "co-deactivate"} == {CELL, ENTRY}
    assert any(v.question == GAP and v.p is not None for v in compared)


def test_masks_below_their_budget_and_identified_with_fewer_utterances_are_notes(results: Results) -> None:
    masks = results.masks["tiny"]
    row = list(masks["mask"].values).index("ConAct-studio-joy")
    size, requested = masks["size"].values.copy(), masks["identification_size"].values.copy()
    size[row], requested[row] = 4, 50
    varied = copy(results)
    varied.masks = {"tiny": masks.assign_coords(size=("mask", size), identification_size=("mask", requested))}
    text = markdown(build_document(varied, [overview_section]))
    who = "tiny, ConAct, masks from studio"
    assert f"- {who}, 50 utterances per emotion: fewer neurons are eligible than the budget of 6: joy 4\n" in text
    assert f"- {who}: 50 utterances per emotion were requested, 30 exist\n" in text

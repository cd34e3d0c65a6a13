"""Tables, Markdown, JSON and terminal from rows written by hand: every number in its place, no number invented."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from esn_dist.analysis.bootstrap import UNDEFINED, Estimate
from esn_dist.analysis.flat_rows import json_effect
from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow, MissingAnswers
from esn_dist.report.document import Block, Document, Number, Paragraph, Section
from esn_dist.report.effect_tables import effect_tables
from esn_dist.report.markdown import markdown
from esn_dist.report.sections.baselines import baseline_table
from esn_dist.report.sections.effects import TARGETED_LINES, accuracy_tables, margin_tables
from esn_dist.report.sections.exclusions import exclusion_counts
from esn_dist.report.sections.missing_answers import missing_answer_table
from esn_dist.report.terminal import run_summary
from tests.report.rows import changed

CONACT = changed(
    corpus=ALL, source_corpus="", sources=("anger", "joy"),
    self_effect=Estimate(-13.2, -18.04, -8.1), cross_effect=Estimate(-2.7, -4.0, -1.2),
    gap=Estimate(-10.5, -15.0, -6.0),
    margin_self=Estimate(-0.4321, -0.5, -0.3), margin_cross=Estimate(0.01, -0.02, 0.03),
    source_rate=Estimate(-6.0, -7.0, -5.0),
    invalid_rate=0.0125, utterances=600, missing_pairs=3, missing=MissingAnswers(unreadable=2, non_finite=1),
)  # fmt: skip
NO_CROSS: dict[str, Any] = dict.fromkeys(("cross_effect", "gap", "margin_cross", "source_rate"), UNDEFINED)
RND = changed(CONACT, selector="RND", sources=(), self_effect=Estimate(0.4, -1, 2), seeds_sd=1.25, **NO_CROSS)
BOUNDS = ("low", "high")
STEER: dict[str, Any] = {"intervention": "steer", "alpha": 0.3}
ROWS = [RND, CONACT, changed(RND, **STEER), changed(CONACT, self_effect=Estimate(2.5, -18.04, -8.1), **STEER)]
ROWS += [changed(row, corpus="studio", source_corpus="studio" if row.sources else "") for row in ROWS]
BASELINES = [
    BaselineRow("tiny", "studio", ALL, Estimate(70.25, 66.0, 74.0), 0.0, 200, MissingAnswers(unreadable=4)),
    BaselineRow("tiny", "studio", "anger", Estimate(80.0, 70.0, 90.0), 0.0, 40, MissingAnswers(unreadable=4)),
    BaselineRow("tiny", "studio", "joy", UNDEFINED, None, 40, MissingAnswers(not_written=40)),
]
EXCLUDED = [{"corpus": "studio", "reason": reason} for reason in ("shorter than 0.1 s",) * 3 + ("digital silence",)]


def _line(text: str, start: str) -> list[str]:
    """Cells of the first Markdown line that starts so."""
    return [cell.strip() for cell in next(x for x in text.splitlines() if x.startswith(f"| {start}")).split("|")[1:-1]]


def _markdown(rows: Sequence[EffectRow] = ROWS) -> str:
    """The sections that are made of rows alone."""
    blocks: list[Block] = [*accuracy_tables(rows), baseline_table(BASELINES), *margin_tables(rows)]
    blocks += [missing_answer_table(rows, BASELINES), exclusion_counts(EXCLUDED)]
    return markdown(Document("Report", (Section("all", "All", tuple(blocks)),)))


def _terminal(rows: Sequence[EffectRow], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(run_summary(rows, BASELINES))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_deactivation_is_left_of_steering_and_selectors_are_columns() -> None:
    macro, studio = effect_tables(ROWS)
    assert (macro.corpus, studio.corpus) == (ALL, "studio")
    assert [columns.title for columns in macro.interventions] == ["Deactivation", "Targeted steering, α = 0.3"]
    assert [columns.selectors for columns in macro.interventions] == [("RND", "ConAct")] * 2
    gaps = [TARGETED_LINES["Self-Cross Gap"](row) for row in macro.interventions[0].rows]
    assert gaps == [Number(UNDEFINED), Number(Estimate(-10.5, -15.0, -6.0))]


def test_fractions_and_transfers_are_tables_of_their_own() -> None:
    studio = changed(CONACT, corpus="studio", source_corpus="studio")
    tables = effect_tables([studio, changed(studio, fraction=0.2), changed(studio, source_corpus="room")])
    assert [(table.origin.fraction, table.origin.transfer_from) for table in tables] == [
        (0.1, ""),
        (0.2, ""),
        (0.1, "room"),
    ]


def test_markdown_shows_points_with_intervals_and_a_dash_for_what_is_undefined() -> None:
    text = _markdown()
    assert _line(text, "Self-Effect") == ["Self-Effect", "+0.4 [-1.0, +2.0] ± 1.3", "-13.2 [-18.0, -8.1]"]
    assert _line(text, "Cross-Effect") == ["Cross-Effect Avg.", "–", "-2.7 [-4.0, -1.2]"]
    assert _line(text, "Invalid answers") == ["Invalid answers", "1.3 %", "1.3 %"]
    assert _line(text, "Self (nats)") == ["Self (nats)", "-0.432 [-0.500, -0.300]", "-0.432 [-0.500, -0.300]"]
    assert _line(text, "Source emotion")[1:] == ["–", "-6.0 [-7.0, -5.0]"]
    assert "None" not in text and "nan" not in text


def test_markdown_shows_baselines_missing_answers_and_what_was_excluded() -> None:
    text = _markdown()
    assert _line(text, "tiny | studio | 7")[2:] == ["70.3 [66.0, 74.0]", "80.0 [70.0, 90.0]", "–", "0.0 %"]
    assert _line(text, "tiny | studio | unintervened")[3:] == ["0.0 %", "0", "4", "0"]
    assert _line(text, "tiny | studio | Deactivation, ConAct")[3:] == ["1.3 %", "0", "2", "1"]
    assert "| tiny | all | Deactivation" not in text, "the macro means would repeat each loss"
    assert _line(text, "studio | shorter") == ["studio", "shorter than 0.1 s", "3"]


def test_every_markdown_table_has_as_many_cells_as_heads() -> None:
    bar = exclusion_counts([{"corpus": "studio", "reason": "label a|b"}])  # a bar would add a column
    text = _markdown() + "\n" + markdown(Document("t", (Section("s", "S", (bar,)),)))
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 12
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1


def test_nothing_excluded_is_noted_and_not_left_out() -> None:
    assert exclusion_counts([]) == Paragraph("None.")


def test_json_has_null_for_rnd_s_gap_and_never_nan() -> None:
    first, second = json.loads(json.dumps(list(map(json_effect, ROWS[:2])), allow_nan=False))
    assert first["gap"] is None and first["gap_low"] is None and first["self_effect"] == 0.4
    named = ("model", "corpus", "selector", "intervention", "alpha", "fraction", "self_effect", "cross_effect", "gap")
    assert second["sources"] == ["anger", "joy"]
    assert all(
        second[f"{name}_{bound}"] == second[f"{name}_effect_{bound}"] for name in ("self", "cross") for bound in BOUNDS
    )
    assert [second[key] for key in named] == ["tiny", "all", "ConAct", "deactivate", -1.0, 0.1, -13.2, -2.7, -10.5]


def test_the_terminal_summary_fits_80_columns() -> None:
    selectors = ("RND", "LAP", "LAPE", "MAD", "ConAct")
    wide = [changed(CONACT, selector=name, self_effect=Estimate(-34.6, -44.4, -30.1)) for name in selectors]
    lines = _terminal(wide).splitlines()
    assert sum(line.count("[-44.4,-30.1]") for line in lines) == 5
    assert next(line for line in lines if line.strip().startswith("self")).count("-34.6") == 5


def test_the_terminal_shows_the_macro_mean_accuracy_and_losses() -> None:
    text = _terminal(ROWS)
    assert "all corpora" in text and "tiny on studio, r" not in text
    assert "accuracy without intervention 70.3 %" in text
    assert "at most 1.3 % of a condition's; missing pairs: 12" in text


def test_the_terminal_shows_a_single_corpus_where_there_is_no_macro_mean() -> None:
    assert "tiny on studio, r = 10 %" in _terminal(ROWS[4:])


def test_the_terminal_shows_a_dash_before_anything_is_known() -> None:
    unknown: dict[str, Any] = dict.fromkeys(("self_effect", "cross_effect", "gap"), UNDEFINED)
    assert "–" in _terminal([changed(CONACT, **unknown)])

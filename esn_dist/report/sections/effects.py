"""Changes of accuracy and of the log-probability margin (the paper's Tables 1 and 5–10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from esn_dist.analysis.flat_rows import flat_effect
from esn_dist.analysis.summary import ALL, EffectRow
from esn_dist.report.document import ColumnGroup, Number, Paragraph, ReportTable, Section, Share, TableCell, Text
from esn_dist.report.effect_tables import EffectTable, InterventionColumns, effect_tables
from esn_dist.report.numbers import DASH
from esn_dist.report.results import Results

RANDOM = "RND: mean over emotions and seeds."
SUBJECTS = {
    "Acc. Δ": "Change of accuracy in percentage points",
    "Change": "Change of the option log-probability margin",
}
LinesOfRows = dict[str, Callable[[EffectRow], TableCell]]  # head of a line → its cell of a column

TARGETED_LINES: LinesOfRows = {
    "Self-Effect": lambda row: Number(row.self_effect, spread=row.seeds_sd),
    "Cross-Effect Avg.": lambda row: Number(row.cross_effect),
    "Self-Cross Gap": lambda row: Number(row.gap),
}
AGNOSTIC_LINES: LinesOfRows = {"Mean Change": lambda row: Number(row.self_effect, spread=row.seeds_sd)}
INVALID_LINES: LinesOfRows = {"Invalid answers": lambda row: Share(row.invalid_rate)}
MARGINS_LINES: LinesOfRows = {
    "Self (nats)": lambda row: Number(row.margin_self, 3),
    "Cross (nats)": lambda row: Number(row.margin_cross, 3),
    "Source emotion answered elsewhere (points)": lambda row: Number(row.source_rate),
}


def effect_section(results: Results) -> Section:
    """Self, cross and gap of every condition."""
    drawn = "speakers" if results.settings.effects.by_speaker else "utterances"
    explanation = (
        "Changes of accuracy against the unintervened model, in percentage points, with 95 % bootstrap intervals over "
        f"{drawn}. What commits to no source emotion (RND, 2-Pass, Mix, Union) has the mean over all emotions. RND "
        f"also has ± the standard deviation over its seeds. {DASH} = undefined."
    )
    tables = tuple(accuracy_tables(results.rows))
    return Section(
        "effects", "Effects", (Paragraph(explanation), *tables), {"effects": [flat_effect(row) for row in results.rows]}
    )


def margin_section(results: Results) -> Section:
    """The option log-probability margin of every condition."""
    explanation = (
        "Change, in nats, of log p(true option) − the largest log p of another option. Below it the change, in points, "
        "of how often the source emotion is answered on the other emotions' utterances."
    )
    tables = tuple(margin_tables(results.rows))
    return Section("margins", "Option log-probability margin", (Paragraph(explanation), *tables), link="Margins")


def accuracy_tables(rows: Sequence[EffectRow]) -> Iterator[ReportTable]:
    """A table per model, corpus and origin of the masks; interventions without source emotions have their own."""
    for table in effect_tables(rows):
        for agnostic in (False, True):
            chosen = [columns for columns in table.interventions if columns.agnostic is agnostic]
            if chosen:
                yield _table(
                    table, chosen, {**(AGNOSTIC_LINES if agnostic else TARGETED_LINES), **INVALID_LINES}, "Acc. Δ"
                )


def margin_tables(rows: Sequence[EffectRow]) -> Iterator[ReportTable]:
    """As `accuracy_tables`."""
    return (_table(table, table.interventions, MARGINS_LINES, "Change") for table in effect_tables(rows))


def _table(
    effects: EffectTable, interventions: Sequence[InterventionColumns], lines: LinesOfRows, head: str
) -> ReportTable:
    rows = [row for columns in interventions for row in columns.rows]
    where = "all corpora (macro mean)" if effects.corpus == ALL else effects.corpus
    return ReportTable(
        labels=(head,),
        groups=tuple(ColumnGroup(columns.title, columns.selectors) for columns in interventions),
        lines=tuple((Text(name), *(cell(row) for row in rows)) for name, cell in lines.items()),
        title=effects.title,
        stacked=True,
        caption=f"{SUBJECTS[head]} on {where}{effects.origin.title}, with 95 % bootstrap intervals. {RANDOM}",
        stub=effects.model,
    )

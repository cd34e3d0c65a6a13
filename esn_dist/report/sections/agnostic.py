"""Accuracy under agnostic injection (the paper's Table 2)."""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.report.agnostic_tables import AgnosticLine, AgnosticTable, AgnosticValue, agnostic_csv, agnostic_tables
from esn_dist.report.document import (
    UNDEFINED_CELL,
    Block,
    ColumnGroup,
    Number,
    Paragraph,
    ReportTable,
    Section,
    Share,
    TableCell,
    Text,
)
from esn_dist.report.results import Results

_EXPLANATION = (
    "Accuracy in percent. Columns RND: random masks under plain steering, as in the paper. Lines RND: random masks "
    "under 2-Pass, Mix and Union themselves. Published: ConAct, r = 0.5 %, τ = 0.5, for the same model and corpus. "
    "† marks what is inconsistent in the paper itself. Invalid: the largest rate of a line's cells."
)


def agnostic_section(results: Results) -> Section | None:
    """One table per origin of the masks."""
    tables = agnostic_tables(results.rows, results.baselines, results.registered_models, results.emotions)
    return agnostic_tables_section(tables) if tables else None


def agnostic_tables_section(tables: Sequence[AgnosticTable]) -> Section:
    """The tables as a section."""
    blocks: tuple[Block, ...] = (Paragraph(_EXPLANATION), *map(agnostic_table, tables))
    return Section(
        "agnostic", "Agnostic injection (Table 2)", blocks, {"table2": list(agnostic_csv(tables))}, "Agnostic"
    )


def agnostic_table(table: AgnosticTable) -> ReportTable:
    """Corpora, in them models, in them masks; the interventions side by side, gain after gain."""
    gains = (ColumnGroup(f"α = {alpha:g}", tuple(heads)) for alpha, heads in table.gains.items())
    return ReportTable(
        labels=("Corpus", "Model", "Masks"),
        groups=(ColumnGroup("", ("Unmasked",)), *gains, ColumnGroup("", ("Invalid ≤",))),
        lines=tuple(_line(line, table) for line in table.lines),
        title=table.title,
        caption=f"{table.title}. Columns RND: plain steering of random masks; lines RND: random masks.",
    )


def _line(line: AgnosticLine, table: AgnosticTable) -> tuple[TableCell, ...]:
    values = (line.unmasked, *(line.values.get(column) for column in table.columns))
    labels = (Text(line.corpus), Text(line.model), Text(line.masks))
    return (*labels, *map(_cell, values), Share(line.invalid))


def _cell(value: AgnosticValue | None) -> TableCell:
    if value is None:
        return UNDEFINED_CELL
    return Number(value, signed=False) if isinstance(value, Estimate) else Text(value)

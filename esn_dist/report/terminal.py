"""The summary at the end of a run, for a terminal of 80 columns: effects with their intervals, losses in one line.

Knows no stores and prints nothing: it returns a rich renderable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text as RichText

from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.document import ColumnGroup, Number, ReportTable, TableCell, Text, display, number
from esn_dist.report.effect_tables import EffectTable, InterventionColumns, effect_tables
from esn_dist.report.numbers import decimal_text, percent_text
from esn_dist.report.titles import place_title

_Lines = Mapping[str, Callable[[EffectRow], Number]]  # head of a line → its cell of a column

_TARGETED: _Lines = {
    "self": lambda row: Number(row.self_effect),
    "cross": lambda row: Number(row.cross_effect),
    "gap": lambda row: Number(row.gap),
}
_AGNOSTIC: _Lines = {"mean": _TARGETED["self"]}
_WHERE_DEFINED: _Lines = {
    "seeds ±": lambda row: number(row.seeds_sd, signed=False),
    "Δm self": lambda row: Number(row.margin_self, 2),
    "Δm cross": lambda row: Number(row.margin_cross, 2),
}


def run_summary(rows: Sequence[EffectRow], baselines: Sequence[BaselineRow]) -> RenderableType:
    """The macro means where there are several corpora, else each corpus; baseline accuracy and losses below."""
    macro = [row for row in rows if row.corpus == ALL]
    tables = [part for table in effect_tables(macro or rows) for part in _titled(table)]
    return Group(*tables, *_notes(_losses(rows, baselines)))


def _titled(table: EffectTable) -> Iterator[RenderableType]:
    """The title, and below it a grid per intervention."""
    yield RichText(f"{table.title}: change of accuracy, points", style="bold")
    yield from (_grid(_table(table, columns)) for columns in table.interventions)


def _table(table: EffectTable, columns: InterventionColumns) -> ReportTable:
    """One intervention; seeds and margins have no line where they are undefined in every column."""
    shown = {name: _cells(cell, columns) for name, cell in (_AGNOSTIC if columns.agnostic else _TARGETED).items()}
    further = {name: _cells(cell, columns) for name, cell in _WHERE_DEFINED.items()}
    shown |= {name: cells for name, cells in further.items() if any(c.estimate.point is not None for c in cells)}
    lines: list[tuple[TableCell, ...]] = [(Text(name), *cells) for name, cells in shown.items()]
    return ReportTable(("",), (ColumnGroup(columns.title, columns.selectors),), tuple(lines), table.title)


def _cells(cell: Callable[[EffectRow], Number], columns: InterventionColumns) -> list[Number]:
    return [cell(row) for row in columns.rows]


def _grid(table: ReportTable) -> RichTable:
    (group,) = table.groups
    # No padding beyond the box's own blank: five intervals of two-digit points just fit 80 columns.
    grid = RichTable(title=group.title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=0)
    grid.add_column("")
    for head in group.heads:
        grid.add_column(head, justify="right")
    for label, *cells in table.lines:
        grid.add_row(str(display(label)), *map(_cell, cells))
    return grid


def _cell(cell: TableCell) -> RichText:
    """The point in bold, the interval below it."""
    shown = display(cell)
    return RichText.assemble((shown.value, "bold"), (f"\n{shown.interval.replace(' ', '')}", "dim"))


def _notes(notes: Iterable[str]) -> Iterator[RenderableType]:
    yield from map(RichText, notes)
    yield RichText("Δm: change of the true option's log-probability margin over the best other, nats", style="dim")
    yield RichText("intervals: 95 %, bootstrap over utterances", style="dim")


def _losses(rows: Sequence[EffectRow], baselines: Sequence[BaselineRow]) -> Iterator[str]:
    """How often the model is right at all, and what is missing."""
    for row in baselines:
        if row.emotion == ALL and row.accuracy.point is not None:
            accuracy = decimal_text(row.accuracy.point, 1)
            yield f"{place_title(row.model, row.corpus)}: accuracy without intervention {accuracy} %"
    on_corpora = [row for row in rows if row.corpus != ALL]
    rates = [row.invalid_rate for row in on_corpora if row.invalid_rate is not None]
    missing = sum(row.missing_pairs for row in on_corpora)
    worst = percent_text(max(rates, default=0.0))
    yield f"invalid answers: at most {worst} of a condition's; missing pairs: {missing:,}"

"""The summary at the end of a run, for a terminal of 80 columns: effects with their intervals, losses in one line.

Knows no stores and prints nothing: it returns a rich renderable.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.markdown import heading, interval, number
from esn_dist.report.tables import MEAN, EffectTable, Half, effect_tables

SHORT = {"Self-Effect": "self", "Cross-Effect Avg.": "cross", "Self-Cross Gap": "gap", MEAN: "mean"}


def summary(rows: Sequence[EffectRow], baselines: Sequence[BaselineRow]) -> RenderableType:
    """The macro means where there are several corpora, else each corpus; baseline accuracy and losses below."""
    macro = [row for row in rows if row.corpus == ALL]
    tables = effect_tables(macro or rows)
    return Group(*(part for table in tables for part in _blocks(table)), *_footer(rows, baselines))


def _blocks(table: EffectTable) -> list[RenderableType]:
    title = Text(f"{heading(table)}: change of accuracy, points", style="bold")
    return [title, *(_half(half) for half in table.halves)]


def _half(half: Half) -> Table:
    # No padding beside the box's own blank: five intervals of two-digit points just fit 80 columns.
    grid = Table(title=half.title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=0)
    grid.add_column("")
    for selector in half.selectors:
        grid.add_column(selector, justify="right")
    for name, values in half.effects.items():
        grid.add_row(SHORT[name], *(_cell(value) for value in values))
    if any(row.seeds_sd is not None for row in half.columns):
        grid.add_row("seeds", *(_spread(row) for row in half.columns))
    for name, values in half.margins.items():
        if all(value.point is None for value in values):
            continue
        grid.add_row(f"Δm {name.lower()}", *(_cell(value, digits=2) for value in values))
    return grid


def _cell(value: Estimate, digits: int = 1) -> Text:
    below = interval(value, digits).replace(" ", "")
    return Text.assemble((number(value.point, digits), "bold"), (f"\n{below}", "dim"))


def _spread(row: EffectRow) -> str:
    """RND's standard deviation over seeds."""
    return "" if row.seeds_sd is None else f"±{row.seeds_sd:.1f}"


def _footer(rows: Sequence[EffectRow], baselines: Sequence[BaselineRow]) -> list[RenderableType]:
    """What a reader must know beside the effects: how well the model does at all, and what was lost."""
    lines: list[RenderableType] = [
        Text(f"{row.model} on {row.corpus}: accuracy without intervention {row.accuracy.point:.1f} %")
        for row in baselines
        if row.emotion == ALL and row.accuracy.point is not None
    ]
    on_corpora = [row for row in rows if row.corpus != ALL]
    rates = [row.invalid_rate for row in on_corpora if row.invalid_rate is not None]
    lost = sum(row.missing_pairs for row in on_corpora)
    lines.append(
        Text(f"invalid answers: at most {100 * max(rates, default=0.0):.1f} % of a row's; missing pairs: {lost}")
    )
    lines.append(Text("Δm: change of the true option's log-probability margin over the best other, nats", style="dim"))
    lines.append(Text("intervals: 95 %, bootstrap over utterances", style="dim"))
    return lines

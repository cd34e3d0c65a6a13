"""A report as data: sections of text, lists, tables of typed cells and figures of the page. Built once, rendered often.

Terminal, Markdown, LaTeX, CSV files and the HTML page are renderers of it. A renderer decides where a number is placed,
never how it is rounded: `display` does that. Knows no stores and no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.report.numbers import DASH, decimal_text, p_text, percent_text

CsvRow = Mapping[str, Any]  # column → exact value; undefined is None


@dataclass(frozen=True, slots=True)
class Text:
    """Words, from this package, a sweep, a corpus or a model: every renderer escapes them."""

    text: str


@dataclass(frozen=True, slots=True)
class Count:
    """A number of things."""

    value: int


@dataclass(frozen=True, slots=True)
class Number:
    """An estimate with its interval; `spread` is the standard deviation over seeds of random masks."""

    estimate: Estimate
    digits: int = 1
    signed: bool = True
    spread: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share within 0..1, shown in percent."""

    value: float | None
    digits: int = 1


@dataclass(frozen=True, slots=True)
class PValue:
    """A p-value; one whose distribution was drawn is marked ≈."""

    p: float | None
    exact: bool = True


TableCell = Text | Count | Number | Share | PValue
TableLine = list[TableCell | str]  # a string is a `Text`
UNDEFINED_CELL: Final = Text(DASH)


@dataclass(frozen=True, slots=True)
class Display:
    """A cell as text, its minus signs as "-"; `interval` such as `[-18.0, -8.1]` and `spread` such as `± 1.3` or ""."""

    value: str
    interval: str = ""
    spread: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.value, self.interval, self.spread)))


def display(cell: TableCell, least_digits: int = 0) -> Display:
    """The cell as text; an estimate has at least `least_digits` digits after the point."""
    match cell:
        case Text(text):
            return Display(text)
        case Count(value):
            return Display(str(value))
        case Share(value, digits):
            return Display(percent_text(value, digits))
        case PValue(p, exact):
            return Display(p_text(p) if exact or p is None else f"≈ {p_text(p)}")
        case Number():
            return _display_number(cell, max(cell.digits, least_digits))


def _display_number(cell: Number, digits: int) -> Display:
    point, low, high = (decimal_text(bound, digits, signed=cell.signed) for bound in cell.estimate)
    has_interval = cell.estimate.low is not None and cell.estimate.high is not None
    spread = "" if cell.spread is None else f"± {decimal_text(cell.spread, digits)}"
    return Display(point, f"[{low}, {high}]" if has_interval else "", spread)


def number(value: float | None, digits: int = 1, *, signed: bool = True) -> Number:
    """A number without an interval."""
    return Number(Estimate(value, None, None), digits, signed)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of texts."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One number of the overview; `warning` where something is missing or failed."""

    value: str
    label: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Cards:
    """The numbers of the overview."""

    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns under one head, such as those of one intervention."""

    title: str
    heads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Lines of cells under heads.

    Attributes:
        labels: heads of the first columns, which hold words; the other columns hold numbers.
        groups: the other columns; a table without groups of its own has one with the title "".
        lines: cells, those of the labels first.
        title: what the table is about; "" where its section says it.
        stacked: whether a narrow medium shows one table per group.
        detail: whether the table is long: folded on the page, and elsewhere only in the CSV files.
        caption, stub: of typeset tables; those of one caption and one head are set as one, the stubs on the left.
    """

    labels: tuple[str, ...]
    groups: tuple[ColumnGroup, ...]
    lines: tuple[tuple[TableCell, ...], ...]
    title: str = ""
    stacked: bool = False
    detail: bool = False
    caption: str = ""
    stub: str = ""

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of all columns; those of several groups begin with the group's title."""
        several = len(self.groups) > 1
        named = (f"{g.title}: {head}" if several and g.title else head for g in self.groups for head in g.heads)
        return (*self.labels, *named)

    def stack(self) -> Iterator[ReportTable]:
        """One table per group, titled with both; a table that is not stacked is itself."""
        if not self.stacked:
            yield self
            return
        start = len(self.labels)
        for group in self.groups:
            end = start + len(group.heads)
            lines = tuple((*line[: len(self.labels)], *line[start:end]) for line in self.lines)
            title = ": ".join(filter(None, (self.title, group.title)))
            yield ReportTable(self.labels, (ColumnGroup("", group.heads),), lines, title, detail=self.detail)
            start = end


def table(
    labels: Sequence[str],
    heads: Sequence[str],
    lines: Iterable[Iterable[TableCell | str]],
    title: str = "",
    *,
    caption: str = "",
    detail: bool = False,
) -> ReportTable:
    """A table with one group of columns; strings are `Text`."""
    cells = tuple(tuple(Text(cell) if isinstance(cell, str) else cell for cell in line) for line in lines)
    return ReportTable(tuple(labels), (ColumnGroup("", tuple(heads)),), cells, title, caption=caption, detail=detail)


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A figure that the HTML page draws; other renderers show `instead`.

    Attributes:
        name: of the function in `html/` that draws it: "maps", "curves" or "utterances".
        data: what it draws, as plain values for JSON; numbers that are read, and not drawn, are texts.
    """

    name: str
    data: Mapping[str, Any]
    instead: tuple[ReportTable | Paragraph, ...] = ()


Block = Paragraph | Bullets | Cards | ReportTable | PageFigure


@dataclass(frozen=True, slots=True)
class Section:
    """One subject of the report.

    Attributes:
        id: anchor on the page.
        title: heading.
        link: what the page's navigation calls it; "": as its heading.
        blocks: what it shows; a section without blocks is only in the CSV files.
        csv: rows of CSV files by the file's name, with exact values.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]
    csv: Mapping[str, Sequence[CsvRow]] = field(default_factory=dict)
    link: str = ""

    @property
    def page_alone(self) -> bool:
        """Whether only the page can show it."""
        return any(isinstance(block, PageFigure) and not block.instead for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    sections: tuple[Section, ...]

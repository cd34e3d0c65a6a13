"""A report as one Markdown text. Renders `document`, and knows nothing of what is reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from esn_dist.report.document import (
    Block,
    Bullets,
    Cards,
    Document,
    PageFigure,
    Paragraph,
    ReportTable,
    Section,
    display,
)


def markdown(document: Document) -> str:
    """All sections but those of the page alone; tables of details are left out."""
    sections = (part for section in document.sections for part in _section(section))
    return "\n\n".join([f"# {plain(document.title)}", *sections]) + "\n"


def plain(text: str) -> str:
    """Text as one line without markup."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")


def pipe_table(heads: Sequence[str], lines: Sequence[Sequence[str]], *, labels: int) -> str:
    """A table whose first `labels` columns are words, the others right-aligned numbers."""
    ruler = ["---"] * labels + ["---:"] * (len(heads) - labels)
    escaped = ([plain(cell).replace("|", "\\|") for cell in line] for line in (heads, *lines))
    first, *rest = ["| " + " | ".join(line) + " |" for line in escaped]
    return "\n".join([first, "| " + " | ".join(ruler) + " |", *rest])


def _section(section: Section) -> Iterator[str]:
    parts = [part for block in section.blocks for part in _block(block)]
    if parts and not section.page_alone:
        yield f"## {section.title}"
        yield from parts


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield plain(text)
        case Bullets(items):
            yield "\n".join(f"- {plain(item)}" for item in items)
        case Cards(cards):
            yield "\n".join(f"- {card.value} {plain(card.label)}" for card in cards)
        case ReportTable(detail=False):
            yield from (part for table in block.stack() for part in _table(table))
        case PageFigure(instead=blocks):
            yield from (part for other in blocks for part in _block(other))


def _table(table: ReportTable) -> Iterator[str]:
    if table.title:
        yield f"### {plain(table.title)}"
    lines = [[str(display(cell)) for cell in line] for line in table.lines]
    yield pipe_table(table.heads, lines, labels=len(table.labels))

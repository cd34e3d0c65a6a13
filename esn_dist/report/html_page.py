"""A report as one self-contained HTML page: data, style and script inside, no request to anywhere.

Renders `document`, and knows nothing of what is reported. Nothing from a corpus or a model becomes markup: data are
JSON in which `<` is escaped, and the script sets text, never HTML. A content policy forbids the browser any network.
The script formats no number: it gets texts.
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from typing import Any

from esn_dist.report.document import (
    Block,
    Bullets,
    Cards,
    Document,
    PageFigure,
    Paragraph,
    ReportTable,
    TableCell,
    Text,
    display,
)
from esn_dist.report.page_maps import MINUS

SCRIPTS = ("elements.js", "blocks.js", "maps.js", "curves.js", "utterances.js", "main.js")


def html_page(document: Document) -> str:
    """The page."""
    data = json.dumps(html_data(document), allow_nan=False, separators=(",", ":"))
    values = {
        "title": escape(document.title),
        "style": _shipped("style.css"),
        "data": data.replace("<", "\\u003c"),
        "script": "\n".join(map(_shipped, SCRIPTS)),
    }
    # In one pass, so that a placeholder inside a value is never replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda placeholder: values[placeholder[1]], _shipped("page.html"))


def html_data(document: Document) -> dict[str, Any]:
    """The document as plain values for JSON."""
    shown = [section for section in document.sections if section.blocks]
    return {
        "sections": [
            {"id": s.id, "title": s.title, "link": s.link or s.title, "blocks": [_block(block) for block in s.blocks]}
            for s in shown
        ]
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Paragraph(text):
            return {"type": "paragraph", "text": text}
        case Bullets(items):
            return {"type": "bullets", "items": list(items)}
        case Cards(cards):
            return {"type": "cards", "cards": [[card.value, card.label, card.warning] for card in cards]}
        case ReportTable():
            return {"type": "tables", "tables": [_table(table) for table in block.stack()]}
        case PageFigure(name, data):
            return {"type": name, **data}


def _table(table: ReportTable) -> dict[str, Any]:
    return {
        "title": table.title,
        "labels": list(table.labels),
        "groups": [[group.title, list(group.heads)] for group in table.groups],
        "lines": [[_cell(cell) for cell in line] for line in table.lines],
        "folded": table.detail,
    }


def _cell(cell: TableCell) -> str | list[str]:
    """Words as a text; a number as its value, and the texts below it in a small font."""
    if isinstance(cell, Text):
        return cell.text
    shown = display(cell)
    return [part.replace("-", MINUS) for part in (shown.value, shown.interval, shown.spread)]


def _shipped(name: str) -> str:
    return files("esn_dist.report").joinpath("html", name).read_text(encoding="utf-8")

"""The report as one self-contained HTML page: data, style and script inside, no request to anywhere.

Nothing from a corpus or a model becomes markup: data travel as JSON in which `<` is written as an escape, and the
script sets text, never HTML. A content policy in the page forbids the browser any network.
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files

from esn_dist.report.csv_tables import Row
from esn_dist.report.findings import Findings
from esn_dist.report.html_data import payload

SCRIPTS = ("dom.js", "tables.js", "maps.js", "curves.js", "beyond.js", "utterances.js", "main.js")


def page(findings: Findings, rows: dict[str, list[Row]]) -> str:
    """The page. `rows` are those of `flat.flat`."""
    data = json.dumps(payload(findings, rows), allow_nan=False, separators=(",", ":"))
    holes = {
        "title": escape(findings.title),
        "style": _shipped("style.css"),
        "data": data.replace("<", "\\u003c"),
        "script": "\n".join(map(_shipped, SCRIPTS)),
    }
    # In one pass, so that what stands in one hole is never taken for another.
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: holes[hole[1]], _shipped("page.html"))


def _shipped(name: str) -> str:
    return files("esn_dist.report").joinpath("html", name).read_text(encoding="utf-8")

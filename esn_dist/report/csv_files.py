"""The rows of a report's CSV files, with exact values. Renders `document`; knows no paths.

An undefined value is an empty field.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from esn_dist.report.document import CsvRow, Document


def csv_files(document: Document) -> dict[str, str]:
    """Content of each file by name, without those that have no rows."""
    files = ((name, rows) for section in document.sections for name, rows in section.csv.items())
    return {name: _content(rows) for name, rows in files if rows}


def _content(rows: Sequence[CsvRow]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

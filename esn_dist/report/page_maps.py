"""Heat maps as the page draws them: rows × columns with texts, tips and shades. Every text is written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from esn_dist.report.document import PageFigure, Paragraph, ReportTable


@dataclass(frozen=True, slots=True)
class PageMap:
    """One heat map.

    Attributes:
        place, selector: what readers choose by; "" where they do not choose.
        values: values[row, column] that decide the shade; NaN has none.
        texts, tips: of every entry; a tip has several lines.
        outlined: [row, column] of the entries of the source's own emotion.
    """

    title: str
    place: str
    selector: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: np.ndarray
    texts: Sequence[Sequence[str]]
    tips: Sequence[Sequence[str]]
    outlined: Sequence[tuple[int, int]] = field(default=())


def maps_figure(
    name: str,
    maps: Sequence[PageMap],
    *,
    filters: bool,
    counts: bool = False,
    instead: tuple[ReportTable | Paragraph, ...] = (),
) -> PageFigure:
    """A grid of heat maps.

    Args:
        name: id on the page.
        filters: whether the reader chooses model and corpus, and selector.
        counts: whether shades are those of counts, logarithmic; else of signed values.
        instead: what other media show.
    """
    data = {"id": name, "filters": filters, "counts": counts, "maps": list(map(_plain, maps))}
    return PageFigure("maps", data, instead)


def _plain(page_map: PageMap) -> dict[str, Any]:
    return {
        "title": page_map.title,
        "place": page_map.place,
        "selector": page_map.selector,
        "rows": list(page_map.rows),
        "columns": list(page_map.columns),
        "values": rounded_values(page_map.values),
        "texts": page_text([list(texts) for texts in page_map.texts]),
        "tips": page_text([list(tips) for tips in page_map.tips]),
        "outlined": [list(position) for position in page_map.outlined],
    }


def page_text(texts: list[list[str]]) -> list[list[str]]:
    """With the minus sign of the page."""
    return [[text.replace("-", MINUS) for text in row] for row in texts]


def rounded_values(values: np.ndarray) -> Any:
    """Nested lists, rounded to four digits after the point; None where undefined."""
    rounded = np.round(values, 4).astype(object)
    rounded[~np.isfinite(values)] = None
    return rounded.tolist()


MINUS = "−"

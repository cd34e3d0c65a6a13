"""Heat maps: the change of accuracy of every source × evaluation emotion (the paper's Figure 1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from esn_dist.analysis.effects_dataset import NO_SOURCE
from esn_dist.analysis.flat_rows import flat_condition
from esn_dist.analysis.significance import ENTRY, SignificanceTest
from esn_dist.analysis.trials import Condition, emotions_of
from esn_dist.report.document import CsvRow, Paragraph, Section
from esn_dist.report.dose_response import frame_conditions
from esn_dist.report.numbers import decimal_text, p_text
from esn_dist.report.page_maps import PageMap, maps_figure
from esn_dist.report.results import Results
from esn_dist.report.titles import condition_title, place_title
from esn_dist.sweep.selectors import RND

_EXPLANATION = (
    "Rows: source emotion of the mask. Columns: emotion of the utterances. Values: change of accuracy in points. "
    "Outlined: the source's own emotion."
)
Tests = dict[tuple[str, str, Condition, str, str], SignificanceTest]  # model, corpus, condition, source, evaluation


def heat_map_section(results: Results) -> Section:
    """Figures of the page, and `heatmaps.csv`."""
    tests = {
        (test.model, test.corpus, test.condition, test.source, test.evaluation): test
        for test in results.tests
        if test.question == ENTRY
    }
    maps = [page_map for frame in results.frames.values() for page_map in _maps(frame, tests)]
    figure = maps_figure("maps", maps, filters=True)
    return Section(
        "heat-maps", "Heat maps", (Paragraph(_EXPLANATION), figure), {"heatmaps": list(heat_map_rows(results))}
    )


def heat_map_rows(results: Results) -> Iterator[CsvRow]:
    """One row per entry of every heat map."""
    for (model, corpus), frame in results.frames.items():
        sources, evaluations = (list(map(str, frame[name].values)) for name in ("source", "evaluation"))
        change, margin = frame["change"].values, frame["margin"].values
        for number, condition in enumerate(frame_conditions(frame)):
            for row, column in np.argwhere(np.isfinite(change[number])):
                entry = {"source": sources[row], "evaluation": evaluations[column]}
                position = number, row, column
                values = {"change": _defined(change[position]), "margin": _defined(margin[position])}
                yield {"model": model, "corpus": corpus, **flat_condition(condition), **entry, **values}


def _maps(frame: xr.Dataset, tests: Tests) -> Iterator[PageMap]:
    model, corpus = str(frame.attrs["model"]), str(frame.attrs["corpus"])
    for number, condition in enumerate(frame_conditions(frame)):
        matrix = frame.isel(condition=number)
        matrix = matrix.isel(source=np.isfinite(matrix["change"].values).any(axis=1))
        sources, evaluations = (list(map(str, matrix[name].values)) for name in ("source", "evaluation"))
        change, margin = matrix["change"].values, matrix["margin"].values
        names = [_source_name(source, condition) for source in sources]
        of_entry = [[tests.get((model, corpus, condition, s, e)) for e in evaluations] for s in sources]
        yield PageMap(
            title=condition_title(condition),
            place=place_title(model, corpus),
            selector=condition.selector,
            rows=names,
            columns=evaluations,
            values=change,
            texts=[[decimal_text(_defined(value), 1, signed=True) for value in row] for row in change],
            tips=[
                [
                    "\n".join(_tip(names[r], e, change[r, c], margin[r, c], of_entry[r][c] if s != NO_SOURCE else None))
                    for c, e in enumerate(evaluations)
                ]
                for r, s in enumerate(sources)
            ],
            outlined=[(r, c) for r, s in enumerate(sources) for c, e in enumerate(evaluations) if e in emotions_of(s)],
        )


def _source_name(source: str, condition: Condition) -> str:
    if source != NO_SOURCE:
        return source
    return "all seeds" if condition.selector == RND else "all emotions"


def _tip(source: str, evaluation: str, change: float, margin: float, test: SignificanceTest | None) -> Iterator[str]:
    """The lines that the page shows at an entry."""
    yield f"{source} → {evaluation}"
    yield f"{decimal_text(_defined(change), 2, signed=True)} points"
    yield f"margin {decimal_text(_defined(margin), 3, signed=True)} nats"
    if test is not None:
        yield f"{test.lost} lost, {test.gained} gained"
        yield f"McNemar p {p_text(test.p)}, Holm {p_text(test.holm)}"


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

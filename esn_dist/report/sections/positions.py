"""Option-position bias: how often each option number is answered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from esn_dist.analysis.flat_rows import CONDITION_COLUMNS
from esn_dist.analysis.position import position_bias
from esn_dist.report.document import UNDEFINED_CELL, CsvRow, Paragraph, PValue, Section, Share, TableCell, table
from esn_dist.report.results import Place, Results
from esn_dist.sweep.interventions import BASELINE

_EXPLANATION = (
    "How often the unintervened model answers each option number. Options are in random order, so equal rates are "
    "expected. p: chi-square test."
)
_COLUMNS = (*CONDITION_COLUMNS, "source_emotion", "mask_seed")
Biases = dict[Place, xr.Dataset]  # as of `analysis.position`


def position_section(results: Results) -> Section:
    """A line per model and corpus; every cell is in `option_positions.csv`."""
    biases = {place: position_bias(answers) for place, answers in results.answers.items()}
    most = max(bias.sizes["number"] for bias in biases.values())
    lines = [_line(results, place, bias, most) for place, bias in biases.items()]
    heads = (*map(str, range(1, most + 1)), "p")
    shown = table(("Model", "Corpus"), heads, lines, caption="Option-position bias of the unintervened models.")
    rows = list(_rows(results, biases))
    title = "Option-position bias of the unintervened model"
    return Section("positions", title, (Paragraph(_EXPLANATION), shown), {"option_positions": rows}, "Option positions")


def _line(results: Results, place: Place, bias: xr.Dataset, most: int) -> list[TableCell | str]:
    is_baseline = (results.answers[place]["intervention"] == BASELINE).values
    baseline = bias.isel(cell=is_baseline).isel(cell=0)
    total = max(1, int(baseline["answered"].sum()))
    p = baseline["p"].item()
    rates: list[TableCell] = [Share(int(count) / total, 0) for count in baseline["answered"].values]
    return [*place, *rates, *[UNDEFINED_CELL] * (most - len(rates)), PValue(float(p) if np.isfinite(p) else None)]


def _rows(results: Results, biases: Biases) -> Iterator[CsvRow]:
    for (model, corpus), bias in biases.items():
        cells = results.answers[model, corpus]
        columns = {name: cells[name].values for name in _COLUMNS if name in cells.coords}
        counts = {name: bias[name].values for name in ("answered", "shown", "correct")}
        for cell, (name, p) in enumerate(zip(bias["cell"].values, bias["p"].values, strict=True)):
            condition = {key: _defined(values[cell].item()) for key, values in columns.items()}
            head = {"model": model, "corpus": corpus, "cell": str(name), **condition}
            for position, number in enumerate(bias["number"].values):
                of_number = {key: int(values[cell, position]) for key, values in counts.items()}
                yield {**head, "number": int(number), **of_number, "p": _defined(float(p))}


def _defined(value: str | int | float) -> str | int | float | None:
    return None if isinstance(value, float) and not np.isfinite(value) else value

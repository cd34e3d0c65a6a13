"""Findings as flat rows: one list of plain mappings per subject, for CSV files and for the page.

Undefined values are None. Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from esn_dist.analysis.flat_rows import CONDITION_COLUMNS, flat_baseline, flat_effect
from esn_dist.analysis.movement import destinations
from esn_dist.analysis.significance import Verdict
from esn_dist.analysis.trials import Condition
from esn_dist.report.agnostic import agnostic_rows
from esn_dist.report.dose_response import conditions
from esn_dist.report.findings import Findings
from esn_dist.report.pairs import pair_rows
from esn_dist.report.searches import search_rows
from esn_dist.report.speakers import speaker_rows

Row = dict[str, Any]


def flat(findings: Findings) -> dict[str, list[Row]]:
    """Rows by subject; the names are those of the CSV files."""
    return {
        "effects": [flat_effect(row) for row in findings.rows],
        "baselines": [flat_baseline(row) for row in findings.baselines],
        "tests": [_verdict(verdict) for verdict in findings.verdicts],
        "published": [
            {**asdict(c), "is_change": c.is_change, "difference": c.difference, "flags": " ".join(c.flags)}
            for c in findings.comparisons
        ],
        "table2": list(agnostic_rows(findings.agnostic)),
        "interactions": list(pair_rows(findings.pairs)),
        "searches": list(search_rows(findings.searches)),
        "heatmaps": list(_heat_maps(findings)),
        "moves": list(_moves(findings)),
        "option_positions": list(_positions(findings)),
        "layers": list(_layers(findings)),
        "overlap": [
            {"model": m, **_defined(pair._asdict())} for m, pairs in findings.related.items() for pair in pairs
        ],
        "stability": [row for dataset in findings.stability for row in _stability(dataset)],
        "pools": [row._asdict() for row in findings.pools],
        "set_aside": [row._asdict() for row in findings.set_aside],
        "speakers": list(speaker_rows(findings.speakers)),
        "failures": [{"unit": unit, "reason": reason} for unit, reason in findings.failures.items()],
    }


def _verdict(verdict: Verdict) -> Row:
    row = asdict(verdict)
    return {"family": verdict.family, **row.pop("condition"), **row}


def _heat_maps(findings: Findings) -> Iterator[Row]:
    for (model, corpus), frame in findings.frames.items():
        sources, evaluations = (list(map(str, frame[name].values)) for name in ("source", "evaluation"))
        change, margin = frame["change"].values, frame["margin"].values
        for at, condition in enumerate(conditions(frame)):
            for row, column in np.argwhere(np.isfinite(change[at])):
                where = {"source": sources[row], "evaluation": evaluations[column]}
                values = {"change": float(change[at, row, column]), "margin": float(margin[at, row, column])}
                yield {"model": model, "corpus": corpus, **condition, **where, **_defined(values)}


def _moves(findings: Findings) -> Iterator[Row]:
    for (model, corpus), of_place in findings.moves.items():
        for condition, moved in of_place:
            share = destinations(moved)
            for cell in range(moved.sizes["cell"]):
                head = {"model": model, "corpus": corpus, **_condition(condition), **_whose(moved[cell])}
                for number, after in enumerate(moved["after"].values):
                    counts = moved.values[cell, :, number]
                    arrived = int(counts.sum() - counts[number])
                    left = int(moved.values[cell, number].sum() - counts[number])
                    values = {"option": str(after), "arrived": arrived, "left": left, "stayed": int(counts[number])}
                    yield {**head, **values, **_defined({"share_of_flips": float(share[cell, number])})}


def _positions(findings: Findings) -> Iterator[Row]:
    for (model, corpus), found in findings.positions.items():
        cells = findings.answers[model, corpus]
        names = [name for name in (*CONDITION_COLUMNS, "source_emotion", "mask_seed") if name in cells.coords]
        whose = {name: cells[name].values for name in names}
        counts = {name: found[name].values for name in ("answered", "shown", "correct")}
        for cell, (name, p) in enumerate(zip(found["cell"].values, found["p"].values, strict=True)):
            own = _defined({name: values[cell].item() for name, values in whose.items()})
            for at, number in enumerate(found["number"].values):
                of_number = {name: int(values[cell, at]) for name, values in counts.items()}
                head = {"model": model, "corpus": corpus, "cell": str(name), **own, "number": int(number)}
                yield {**head, **of_number, **_defined({"p": float(p)})}


def _layers(findings: Findings) -> Iterator[Row]:
    for model, neurons in findings.layers.items():
        for mask in range(neurons.sizes["mask"]):
            one = neurons.isel(mask=mask)
            names = (
                "selector",
                "source_corpus",
                "source_emotion",
                "fraction",
                "mask_seed",
                "identification_size",
                "parts",
            )
            head = {"model": model, "mask": str(one["mask"].values), **{name: one[name].item() for name in names}}
            yield from ({**head, "layer": layer, "neurons": int(count)} for layer, count in enumerate(one.values))


def _stability(found: xr.Dataset) -> Iterator[Row]:
    for selector in found["selector"].values:
        for emotion in found["emotion"].values:
            one = found.sel(selector=selector, emotion=emotion)
            overlaps = one["jaccard"].values[np.isfinite(one["jaccard"].values)]
            low, high = np.quantile(overlaps, [0.025, 0.975]) if len(overlaps) else (np.nan, np.nan)
            values = {"jaccard": overlaps.mean() if len(overlaps) else np.nan, "low": low, "high": high}
            values["pairwise"] = float(one["pairwise"])
            head = {**found.attrs, "selector": str(selector), "emotion": str(emotion), "neurons": int(one["size"])}
            yield {**head, "draws": found.sizes["draw"], **_defined({k: float(v) for k, v in values.items()})}


def _condition(condition: Condition) -> Row:
    return {name: getattr(condition, name) for name in CONDITION_COLUMNS}


def _whose(cell: xr.DataArray) -> Row:
    return {"source": str(cell["source"].values), "mask_seed": int(cell["mask_seed"])}


def _defined(row: Row) -> Row:
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in row.items()}

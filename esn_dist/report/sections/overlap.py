"""Overlap of masks that differ in one thing alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.locality import MaskPair, overlap, related
from esn_dist.report.document import (
    Block,
    Count,
    CsvRow,
    Number,
    Paragraph,
    ReportTable,
    Section,
    TableCell,
    TableLine,
    table,
)
from esn_dist.report.numbers import DASH, fraction_text
from esn_dist.report.results import Results
from esn_dist.report.titles import identification_title

PLURALS = {"source_emotion": "emotions", "selector": "selectors", "source_corpus": "corpora"}
CSV_NAMES = {"differs_in": "between", "first": "one", "second": "other"}
"""Columns of `overlap.csv` that are not called like the fields of a `MaskPair`."""
_EXPLANATION = (
    "Jaccard overlap of masks that differ in one thing alone, averaged, and the overlap that random masks of the same "
    f"sizes have on average. {DASH} = both masks are empty. Each pair is in `csv/overlap.csv`."
)


def overlap_section(results: Results) -> Section:
    """Means by what differs; every pair is a detail."""
    pairs = {model: list(related(overlap(masks))) for model, masks in results.masks.items()}
    rows = [_flat(model, pair) for model, of_model in pairs.items() for pair in of_model]
    details = [every_pair for differs_in in PLURALS if (every_pair := _every_pair(pairs, differs_in))]
    blocks: tuple[Block, ...] = (Paragraph(_EXPLANATION), _means(pairs), *details)
    return Section("overlap", "Overlap of masks", blocks, {"overlap": rows}, "Overlap")


def _means(pairs: Mapping[str, Sequence[MaskPair]]) -> ReportTable:
    groups: dict[tuple[str, str, str], list[MaskPair]] = {}
    for model, of_model in pairs.items():
        for pair in of_model:
            selector = f"{pair.first} / {pair.second}" if pair.differs_in == "selector" else pair.selector
            groups.setdefault((model, PLURALS[pair.differs_in], selector), []).append(pair)
    lines: list[TableLine] = [[*key, Count(len(of_group)), *_mean(of_group)] for key, of_group in groups.items()]
    heads = ("Pairs", "Jaccard", "Random masks")
    return table(("Model", "Between", "Selector"), heads, lines, caption="Overlap of masks.")


def _mean(pairs: Sequence[MaskPair]) -> Iterator[TableCell]:
    defined = [(pair.jaccard, pair.expected) for pair in pairs if np.isfinite(pair.jaccard)]
    means = np.mean(defined, axis=0).tolist() if defined else (None, None)
    return (_jaccard(mean) for mean in means)


def _every_pair(pairs: Mapping[str, Sequence[MaskPair]], differs_in: str) -> ReportTable | None:
    lines: list[TableLine] = [
        [model, pair.first, pair.second, _shared(pair), _jaccard(pair.jaccard), _jaccard(pair.expected)]
        for model, of_model in pairs.items()
        for pair in of_model
        if pair.differs_in == differs_in
    ]
    title = f"Between {PLURALS[differs_in]} ({len(lines)} pairs)"
    heads = ("Jaccard", "Random masks")
    return table(("Model", "One", "Other", "Of"), heads, lines, title, detail=True) if lines else None


def _shared(pair: MaskPair) -> str:
    """What both masks have in common."""
    names = (getattr(pair, name) for name in PLURALS if name != pair.differs_in)
    how = identification_title(pair.identification_size, pair.parts)
    return f"{', '.join(filter(None, names))}, r = {fraction_text(pair.fraction)}{how}"


def _jaccard(value: float | None) -> Number:
    defined = value is not None and np.isfinite(value)
    return Number(Estimate(value if defined else None, None, None), 2, signed=False)


def _flat(model: str, pair: MaskPair) -> CsvRow:
    row = {"model": model} | {CSV_NAMES.get(name, name): value for name, value in pair._asdict().items()}
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in row.items()}

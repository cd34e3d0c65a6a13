"""Accuracy of the unintervened models."""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.analysis.flat_rows import flat_baseline
from esn_dist.analysis.summary import ALL, BaselineRow
from esn_dist.report.document import UNDEFINED_CELL, Number, ReportTable, Section, Share, TableCell, table
from esn_dist.report.results import Results


def baseline_section(results: Results) -> Section:
    """Per model and corpus: the mean over emotions, each emotion, and the share of invalid answers."""
    return Section(
        "baselines",
        "Accuracy of the unintervened model (%)",
        (baseline_table(results.baselines),),
        {"baselines": [flat_baseline(row) for row in results.baselines]},
        link="Accuracy",
    )


def baseline_table(baselines: Sequence[BaselineRow]) -> ReportTable:
    """A line per model and corpus, a column per emotion."""
    emotions = list(dict.fromkeys(row.emotion for row in baselines))
    by_key = {(row.model, row.corpus, row.emotion): row for row in baselines}
    lines: list[list[TableCell | str]] = []
    for model, corpus in dict.fromkeys((row.model, row.corpus) for row in baselines):
        rows = [by_key.get((model, corpus, emotion)) for emotion in emotions]
        accuracies = [Number(row.accuracy, signed=False) if row else UNDEFINED_CELL for row in rows]
        lines.append([model, corpus, *accuracies, Share(by_key[model, corpus, ALL].invalid_rate)])
    caption = "Accuracy of the unintervened models (%)."
    return table(("Model", "Corpus"), (*emotions, "Invalid answers"), lines, caption=caption)

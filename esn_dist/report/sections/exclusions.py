"""Utterances that the scan excluded before the run, with their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from esn_dist.report.document import Block, Count, CsvRow, Paragraph, Section, table
from esn_dist.report.results import Results
from esn_dist.store.read import read_exclusions


def exclusion_section(results: Results) -> Section:
    """How many of each corpus and reason; each one is in `excluded.csv`, whose older name is `set_aside.csv`."""
    rows = excluded_utterances(results)
    heads = ("Corpus", "Utterance", "Label", "Reason", "Detail")
    lines = [[str(value) for value in row.values()] for row in rows]
    every = (table(heads, (), lines, "Every excluded utterance", detail=True),) if rows else ()
    return Section(
        "exclusions",
        "Excluded before the run",
        (exclusion_counts(rows), *every),
        {"excluded": rows, "set_aside": rows},
        link="Excluded",
    )


def excluded_utterances(results: Results) -> list[CsvRow]:
    """One row per excluded utterance."""
    rows: list[CsvRow] = []
    for corpus in results.description.corpora:
        exclusions = read_exclusions(results.folder, corpus)
        for name, position in exclusions.row_by_id().items():
            record = exclusions.record(position)
            reason = {column: record[column] for column in ("label", "reason", "detail")}
            rows.append({"corpus": corpus, "utterance": name, **reason})
    return rows


def exclusion_counts(rows: Sequence[CsvRow]) -> Block:
    """Utterances by corpus and reason."""
    counts = Counter((row["corpus"], row["reason"]) for row in rows)
    lines = [[corpus, reason, Count(count)] for (corpus, reason), count in sorted(counts.items())]
    return table(("Corpus", "Reason"), ("Utterances",), lines) if lines else Paragraph("None.")

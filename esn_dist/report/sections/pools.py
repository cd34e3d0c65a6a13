"""Correctly answered identification utterances (the paper's Table 4)."""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.report.document import Count, Paragraph, ReportTable, Section, TableLine, table
from esn_dist.report.identification_pools import PoolSize
from esn_dist.report.results import Results


def pool_section(results: Results) -> Section:
    """A line per model, corpus and emotion."""
    explanation = "Utterances that the unintervened model answered correctly, and how many of each emotion were used."
    rows = [size._asdict() for size in results.pools]
    blocks = (Paragraph(explanation), pool_table(results.pools))
    return Section("pools", "Identification pools", blocks, {"pools": rows}, "Pools")


def pool_table(pools: Sequence[PoolSize]) -> ReportTable:
    """The sizes as they are."""
    lines: list[TableLine] = [
        [size.model, size.corpus, size.emotion, Count(size.correct), Count(size.used)] for size in pools
    ]
    caption = "Correctly answered identification utterances."
    return table(("Model", "Corpus", "Emotion"), ("Correct", "Used"), lines, caption=caption)

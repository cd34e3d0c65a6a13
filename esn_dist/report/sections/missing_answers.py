"""Answers that name no option, and answers that do not exist: counted, never turned into a number."""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.document import Count, Paragraph, ReportTable, Section, Share, TableCell, table
from esn_dist.report.effect_tables import mask_origin
from esn_dist.report.results import Results
from esn_dist.report.titles import condition_title


def missing_answer_section(results: Results) -> Section:
    """One line per baseline and per condition on a corpus."""
    explanation = (
        "An answer that names no option is wrong unless the report leaves such answers out. An answer that was not "
        "written, that is unreadable or non-finite is missing. Its pairs are left out of every effect."
    )
    return Section(
        "missing-answers",
        "Invalid and missing answers",
        (Paragraph(explanation), missing_answer_table(results.rows, results.baselines)),
        link="Missing answers",
    )


def missing_answer_table(rows: Sequence[EffectRow], baselines: Sequence[BaselineRow]) -> ReportTable:
    """Without the macro means, which would only repeat the corpora."""
    lines = [_line(row, "unintervened") for row in baselines if row.emotion == ALL]
    lines += [_line(row, _condition(row)) for row in rows if row.corpus != ALL]
    heads = ("Invalid", "Not written", "Unreadable", "Non-finite")
    return table(("Model", "Corpus", "Cells"), heads, lines, detail=False)


def _line(row: EffectRow | BaselineRow, cells: str) -> list[TableCell | str]:
    missing = row.missing
    counts = map(Count, (missing.not_written, missing.unreadable, missing.non_finite))
    return [row.model, row.corpus, cells, Share(row.invalid_rate), *counts]


def _condition(row: EffectRow) -> str:
    """The condition, with its source corpus only where it is another."""
    transfer = mask_origin(row).transfer_from
    return condition_title(row.condition, omit=() if transfer else ("source_corpus",))

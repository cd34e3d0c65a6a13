"""The paper's published numbers and the measured ones, for the same model and corpus alone."""

from __future__ import annotations

from dataclasses import asdict

from esn_dist.report.document import Bullets, CsvRow, Number, Paragraph, ReportTable, Section, TableCell, number, table
from esn_dist.report.published import Comparison, comparisons, inconsistencies
from esn_dist.report.results import Results

_EXPLANATION = (
    "Measured − published, for the same model and corpus alone. † marks numbers that are inconsistent in the paper "
    "itself; they are shown as printed. The paper does not print the steering gain; 0.3 is inferred from its RND "
    "columns. It does not name the masks of Table 2 either; ConAct at r = 0.5 % is compared. Pools are cut at the size "
    "where the paper's seem to be."
)
_NOTHING = (
    "Nothing here was measured with a model and corpus of the paper at its fraction and gain. The paper's own "
    "inconsistencies:"
)


def published_section(results: Results) -> Section:
    """One line per published number that the sweep measures anew, then what is inconsistent in the paper."""
    compared = comparisons(results.rows, results.baselines, results.registered_models, results.emotions, results.pools)
    if not compared:
        blocks: tuple[Paragraph | ReportTable | Bullets, ...] = (Paragraph(_NOTHING), _inconsistencies(None))
    else:
        flags = {flag for comparison in compared for flag in comparison.flags}
        blocks = (Paragraph(_EXPLANATION), _table(compared), *([_inconsistencies(flags)] if flags else []))
    return Section("published", "Published numbers", blocks, {"published": [_flat(c) for c in compared]}, "Published")


def _table(compared: list[Comparison]) -> ReportTable:
    labels = ("Table", "Model", "Corpus", "Intervention", "Selector", "Readout", "Of")
    heads = ("Measured", "Published", "Difference")
    return table(labels, heads, [_line(c) for c in compared], caption="Measured and published numbers.")


def _line(c: Comparison) -> list[TableCell | str]:
    measured = Number(c.measured, 2, signed=c.is_change)
    printed = c.printed + (" †" if c.flags else "")
    labels = [str(c.table), c.model, c.corpus, c.intervention, c.selector, c.metric, c.setting]
    return [*labels, measured, printed, number(c.difference, 2)]


def _inconsistencies(flags: set[str] | None) -> Bullets:
    """Those with these ids, or all."""
    shown = [entry for entry in inconsistencies() if flags is None or entry["id"] in flags]
    return Bullets(tuple(f"† {entry['where']} ({entry['severity']}): {entry['explanation']}" for entry in shown))


def _flat(c: Comparison) -> CsvRow:
    row = asdict(c)
    point, low, high = row.pop("measured")
    values = {"measured": point, "low": low, "high": high}
    first = {name: row.pop(name) for name in ("table", "model", "corpus", "intervention", "selector", "metric")}
    derived = {"is_change": c.is_change, "difference": c.difference}
    return {**first, **values, **row, "flags": " ".join(c.flags), **derived}

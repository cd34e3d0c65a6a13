"""Tests: is the self–cross gap larger than chance, and does a cell differ from the baseline?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from esn_dist.analysis.flat_rows import flat_condition
from esn_dist.analysis.significance import GAP, SignificanceTest
from esn_dist.report.document import (
    Count,
    CsvRow,
    Paragraph,
    PValue,
    ReportTable,
    Section,
    TableCell,
    TableLine,
    number,
    table,
)
from esn_dist.report.results import Results
from esn_dist.report.titles import condition_title

SIGNIFICANCE_LEVEL = 0.05


def gap_test_section(results: Results) -> Section:
    """The tests of the gap, a table per family; every test of the sweep is in `tests.csv`."""
    explanation = (
        "p: exchange of each item's answers among the source emotions' cells, two-sided, exact unless marked ≈. Holm "
        "and BH (Benjamini–Hochberg) correct within the family named above each table. Assignment: share of all "
        "assignments of these masks to the emotions with a gap as far from zero, uncorrected."
    )
    families: dict[str, list[SignificanceTest]] = {}
    for test in results.tests:
        if test.question == GAP:
            families.setdefault(test.family, []).append(test)
    tables = (_gap_table(family, tests) for family, tests in families.items())
    rows = [flat_test(test) for test in results.tests]
    return Section(
        "tests", "Tests of the self–cross gap", (Paragraph(explanation), *tables), {"tests": rows}, "Gap tests"
    )


def cell_test_section(results: Results) -> Section:
    """How many of each family's McNemar tests are significant."""
    explanation = (
        f"Exact, two-sided. How many of each family have p ≤ {SIGNIFICANCE_LEVEL:g}; each test is in `csv/tests.csv`."
    )
    lines = list(_counts([test for test in results.tests if test.question != GAP]))
    counts = table(("Family",), ("Tests", "uncorrected", "Holm", "BH"), lines)
    return Section(
        "cell-tests", "McNemar tests against the baseline", (Paragraph(explanation), counts), link="McNemar tests"
    )


def flat_test(test: SignificanceTest) -> CsvRow:
    """All columns of a test; those of its condition after its family."""
    row = asdict(test)
    del row["condition"]
    return {"family": test.family, **flat_condition(test.condition), **row}


def _gap_table(family: str, tests: Sequence[SignificanceTest]) -> ReportTable:
    lines: list[TableLine] = [
        [condition_title(test.condition), number(test.effect), *_p_values(test), Count(test.pairs)] for test in tests
    ]
    heads = ("Gap", "p", "Holm", "BH", "Assignment", "Items")
    size = f"{len(tests)} test{'s' if len(tests) > 1 else ''}"
    caption = f"Tests of the self–cross gap. Family: {family}."
    return table(("Condition",), heads, lines, f"Family: {family} ({size})", caption=caption)


def _p_values(test: SignificanceTest) -> list[TableCell]:
    return [PValue(test.p, test.exact), *map(PValue, (test.holm, test.bh, test.assignment_p))]


def _counts(tests: Sequence[SignificanceTest]) -> Iterator[list[TableCell | str]]:
    for family in dict.fromkeys(test.family for test in tests):
        members = [test for test in tests if test.family == family]
        columns = [[test.p for test in members], [test.holm for test in members], [test.bh for test in members]]
        tested = sum(test.p is not None for test in members)
        significant = (sum(p is not None and p <= SIGNIFICANCE_LEVEL for p in column) for column in columns)
        yield [family, Count(tested), *map(Count, significant)]

"""One rule of rounding: decimal, halves away from zero, no sign at zero; the same in every medium."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import esn_dist.report
from esn_dist.analysis.bootstrap import Estimate
from esn_dist.report.csv_files import csv_files
from esn_dist.report.document import Document, Number, Section, Share, TableCell, table
from esn_dist.report.html_page import html_data
from esn_dist.report.latex import latex
from esn_dist.report.markdown import markdown
from esn_dist.report.numbers import decimal_text, fraction_text, p_text, percent_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (-0.04, "0.0"), (0.04, "0.0"), (-0.05, "-0.1"), (-13.25, "-13.3"), (0.25, "+0.3"), (2.0, "+2.0"),
     (1e22, "+10000000000000000000000.0")],
)  # fmt: skip
def test_halves_round_away_from_zero_and_zero_has_no_sign(value: float | None, text: str) -> None:
    assert decimal_text(value, 1, signed=True) == text


def test_the_decimal_is_rounded_that_a_reader_sees_and_not_the_binary_below_it() -> None:
    assert decimal_text(2.675, 2) == "2.68"  # the float is 2.67499999…
    assert percent_text(0.285, 0) == "29 %"  # 100 * 0.285 is 28.499999999999996
    assert fraction_text(0.005) == "0.5 %" and fraction_text(Decimal("0.1")) == "10 %"
    assert [p_text(p) for p in (None, 0.0004, 0.0125, 1.0)] == ["–", "< 0.001", "0.013", "1.000"]


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_rounding_is_symmetric_and_within_half_a_unit(value: float, digits: int) -> None:
    text = decimal_text(value, digits)
    assert decimal_text(-value, digits).lstrip("-") == text.lstrip("-")
    assert abs(Decimal(text) - Decimal(repr(value))) <= Decimal(1).scaleb(-digits) / 2


@pytest.mark.parametrize("value", [-1.25, 1.25, 0.25, -0.35, 2.5, -0.04, 0.05, 12.65])
def test_page_markdown_and_latex_print_the_same_number(value: float) -> None:
    cells: list[TableCell | str] = ["x", Number(Estimate(value, value, value)), Share(abs(value) / 100)]
    shown = table(("Name",), ("Number", "Share"), [cells], caption="Numbers.")
    document = Document("t", (Section("s", "S", (shown,), {"numbers": [{"value": value}]}),))
    expected, share = decimal_text(value, 1, signed=True), percent_text(abs(value) / 100)
    assert f"| x | {expected} [{expected}, {expected}] | {share} |" in markdown(document)
    ((page_table,),) = ([b["tables"][0]] for b in html_data(document)["sections"][0]["blocks"])
    page_number = expected.replace("-", "−")
    assert page_table["lines"] == [["x", [page_number, f"[{page_number}, {page_number}]", ""], [share, "", ""]]]
    precise = decimal_text(value, 2, signed=True)
    assert f"x & ${precise}$ {{\\tiny [{precise}, {precise}]}} & ${share.replace(' %', '')}\\,\\%$" in latex(document)
    (row,) = csv.DictReader(io.StringIO(csv_files(document)["numbers"]))
    assert float(row["value"]) == value, "files hold exact values"


def test_the_page_gets_no_number_that_its_script_would_have_to_format(document: Document) -> None:
    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [number for of_key in value.values() for number in numbers(of_key)]
        if isinstance(value, list):
            return [number for item in value for number in numbers(item)]
        return [value] if isinstance(value, float) else []

    data = json.loads(json.dumps(html_data(document)))
    tables = [block for section in data["sections"] for block in section["blocks"] if block["type"] == "tables"]
    assert len(tables) > 20 and numbers(tables) == []


def test_no_module_of_reports_rounds_a_number_by_itself() -> None:
    folder = Path(esn_dist.report.__file__).parent
    rounding = re.compile(r":[ +,]*(?:\d*)\.\d+[ef%]}")
    rounded = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if rounding.search(line)
    ]
    assert rounded == [], "print it with esn_dist.report.numbers"

"""`esn-dist report --out`: every file, read back; the same bytes twice; LaTeX that compiles."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.report import folder
from esn_dist.report.document import Document
from esn_dist.report.figures import figures
from esn_dist.report.latex import escape, latex
from esn_dist.report.results import Results

SUBJECTS = {
    "effects", "baselines", "tests", "heatmaps", "moves", "option_positions", "layers", "overlap", "stability", "pools",
    "excluded", "set_aside", "failures", "speakers", "table2",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "new"
    folder.write_report(results, out)
    return out


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without the extra `report`."""
    monkeypatch.setattr(folder, "find_spec", lambda name: None)


def test_every_kind_of_file_is_written(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {"report.html", "report.md", "report.tex", "csv", "figures"}
    assert {path.stem for path in (written / "csv").iterdir()} == SUBJECTS
    figures = {path.name for path in (written / "figures").iterdir()}
    for kind in ("png", "pdf", "svg"):
        assert {f"figure1-tiny-0.{kind}", f"figure4-studio-0.1.{kind}", f"figure5-tiny-0.{kind}"} <= figures
        assert any(name.startswith("figure3-tiny-room-ConAct") and name.endswith(kind) for name in figures)


def test_csv_files_hold_the_rows(written: Path, document: Document) -> None:
    for subject, rows in ((name, rows) for section in document.sections for name, rows in section.csv.items()):
        if rows:
            with (written / "csv" / f"{subject}.csv").open(encoding="utf-8", newline="") as file:
                read = list(csv.DictReader(file))
            expected = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
            assert [
                {name: row[name] for name in wanted} for row, wanted in zip(read, expected, strict=True)
            ] == expected


def test_the_same_store_gives_the_same_bytes(
    results: Results, written: Path, tmp_path: Path, without_matplotlib: None
) -> None:
    paths = folder.write_report(results, tmp_path)
    paths += folder.write_figure(dict(figures(results))["figure1-tiny-0"], tmp_path / "figure1-tiny-0")
    for path in paths:
        again = (
            written / "figures" / path.name if path.stem.startswith("figure") else written / path.relative_to(tmp_path)
        )
        assert path.read_bytes() == again.read_bytes(), path.name


def test_markdown_has_every_section_and_no_markup_from_outside(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    for section in (
        "Tests of the self–cross gap", "McNemar tests against the baseline", "Published numbers",
        "Overlap of masks", "Stability of masks", "Where answers move to", "Option-position bias",
        "Identification pools", "Speakers", "Failures", "Provenance", "Overview",
        "Excluded before the run", "Agnostic injection (Table 2)",
    ):  # fmt: skip
        assert f"## {section}" in text
    assert "Family: tiny on studio, deactivate: gap (2 tests)" in text
    assert "<script" not in text and "<img" not in text
    assert "None" not in text.replace("None.", "") and not re.search(r"\bnan\b", text)


def test_latex_compiles(written: Path, tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    assert compiler, "pdflatex is missing: apt-get install texlive-latex-base texlive-latex-recommended"
    shutil.copy(written / "report.tex", tmp_path)
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "report.pdf").stat().st_size > 10_000


def test_latex_compiles_with_any_name(tmp_path: Path) -> None:
    nasty = 'a_b & c% $x$ #1 {y} ~^\\ <z> "q" ë ß – 漢 α\n\''
    (tmp_path / "x.tex").write_text(document_of(nasty), encoding="utf-8")
    command = [shutil.which("pdflatex") or "pdflatex", "-interaction=nonstopmode", "-halt-on-error", "x.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def document_of(text: str) -> str:
    return "\\documentclass{article}\\usepackage[utf8]{inputenc}\\begin{document}" + escape(text) + "\\end{document}"


def test_latex_has_deactivation_left_and_steering_right(document: Document) -> None:
    lines = latex(document).splitlines()
    head = next(line for line in lines if "Deactivation" in line)
    assert head.index("Deactivation") < head.index("Targeted steering")
    selectors = next(line for line in lines if line.startswith(" & Acc."))
    assert selectors.count("ConAct") == 3 and selectors.count("RND") == 3
    agnostic = next(line for line in lines if "2-Pass" in line)
    assert "Targeted" not in agnostic and agnostic.index("= 0.3") < agnostic.index("= 1")
    assert sum(line == r"\toprule" for line in lines) == sum(line == r"\bottomrule" for line in lines) >= 5


def test_the_command_writes_the_report_and_names_the_page(
    small_store: Path, tmp_path: Path, without_matplotlib: None
) -> None:
    result = CliRunner().invoke(app, ["report", str(small_store), "--out", str(tmp_path / "out"), "--draws", "50"])
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "out" / "report.html") in result.stdout.replace("\n", "")
    assert (tmp_path / "out" / "report.html").is_file()


def test_without_matplotlib_everything_else_is_written_and_the_missing_figures_are_noted(
    results: Results, tmp_path: Path, without_matplotlib: None
) -> None:
    written = folder.write_report(results, tmp_path)
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "figures").exists()
    assert folder.missing_figures(written) == "no figures: matplotlib is missing; pip install 'esn-dist[report]'"


def test_a_store_without_a_finished_baseline_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and "there is no store here" in result.stderr

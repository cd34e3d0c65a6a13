"""The page of the paper's tables and figures: every study is on it and exists, and `plan` prints its lines."""

from __future__ import annotations

import re
from copy import copy
from pathlib import Path

from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.report.figures import figures
from esn_dist.report.results import Results
from esn_dist.store.folder import StoreFolder
from esn_dist.sweep.load import load_sweep

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
ROWS = [line.split("|") for line in PAGE.splitlines() if re.match(r"\| (Table|Fig)", line)]


def test_every_table_and_figure_has_its_study_and_every_study_is_named() -> None:
    named = {study for row in ROWS for study in re.findall("`(.+)`", row[2])}
    assert named == set(load_sweep(ROOT / "configs" / "paper.yaml").studies)
    tables = " ".join(row[1] for row in ROWS)
    assert re.findall(r"\d+(?:–\d+)?", tables.replace("2a–c", "2").replace("2d", "2")) == [
        "1", "5–7", "8–10", "2", "3", "4", "1", "2", "2", "3", "4", "5",
    ]  # fmt: skip


def test_the_plan_command_prints_every_line_of_the_page() -> None:
    commands = re.findall(r"^esn-dist (plan) (configs/\w+\.yaml)$", PAGE, re.MULTILINE)
    assert [path for _, path in commands] == ["configs/paper.yaml", "configs/beyond.yaml"]
    outputs = [CliRunner().invoke(app, [command, str(ROOT / path)]) for command, path in commands]
    assert all(output.exit_code == 0 for output in outputs)
    lines = [line.strip() for line in outputs[0].stdout.splitlines()]
    block = re.search(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block and len(block[1].splitlines()) == 23
    assert [line for line in block[1].splitlines() if line not in lines] == []


def test_files_that_the_page_names_are_what_a_report_writes(small_store: Path) -> None:
    results = Results(StoreFolder(small_store))
    written = [name for name, _ in figures(results)]
    for axis, values, ending in (
        ("fraction", [0.1, 0.2, 0.3], "2ac-tiny-studio-ConAct-0-maps"),
        ("identification_size", [10, 20, 30], "2d-tiny-studio-ConAct-0-accuracies"),
    ):
        frame = results.frames["tiny", "studio"]
        steerable = (frame["selector"] == "ConAct") & (frame["intervention"] != "two-pass")
        coordinates = {axis: values, "intervention": ["deactivate"] * 3, "alpha": [-1.0] * 3}
        frame = frame.isel(condition=steerable.values).assign_coords(
            {n: ("condition", v) for n, v in coordinates.items()}
        )
        varied = copy(results)
        varied.frames = {("tiny", "studio"): frame}
        assert f"figure{ending}" in [name for name, _ in figures(varied)]
    for number, ending in (("1", ""), ("3", "-maps"), ("3", "-curves"), ("4", ""), ("5", "")):
        assert any(name.startswith(f"figure{number}-") and name.endswith(ending) for name in written)
    assert "figure4-studio-0.1" in written and any("figure3-tiny-studio-ConAct-" in name for name in written)

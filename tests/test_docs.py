"""The how-to runs as it stands: every python and sh block of docs/analysis.md, in order, on a finished store."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.report import folder

PAGE = Path(__file__).parents[1] / "docs" / "analysis.md"


def test_every_snippet_of_the_analysis_page_runs(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "quickstart").symlink_to(small_store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "find_spec", lambda name: None)  # its figures are tested, and slow
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    namespace: dict[str, object] = {}
    for language, code in blocks:
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), namespace)
        else:
            for line in code.splitlines():
                program, *arguments = shlex.split(line)
                found = CliRunner().invoke(app, arguments)
                assert program == "esn-dist" and found.exit_code == 0, f"{line}: {found.output}"
    assert len(blocks) >= 10
    assert (tmp_path / "report" / "report.html").is_file() and (tmp_path / "conact.png").is_file()

"""Pages are true: blocks for analysts run, and every link, file and module that a page names exists."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.report import folder

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "launch/README.md", ROOT / "store/README.md"]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "count"), [("analysis", 7), ("report", 1), ("statistics", 1), ("readers", 2)])
def test_every_snippet_of_the_page_runs(
    page: str, count: int, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "quickstart").symlink_to(small_store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "find_spec", lambda name: None)  # its figures are tested, and slow
    path = ROOT / "docs" / f"{page}.md"
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    assert len(blocks) == count
    namespace: dict[str, object] = {}
    for language, code in blocks:
        if language == "python":
            exec(compile(code, str(path), "exec"), namespace)
        else:
            for line in code.splitlines():
                run_command(line)
    written = {"report": "report/report.html", "analysis": "conact.png"}.get(page)
    assert written is None or (tmp_path / written).is_file()


def run_command(line: str) -> None:
    program, *arguments = shlex.split(line)
    result = CliRunner().invoke(app, arguments)
    assert program == "esn-dist" and result.exit_code == 0, f"{line}: {result.output}"


def test_every_link_of_a_page_leads_to_a_file_and_a_heading() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith(("http:", "https:")):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            assert file.exists(), f"{page.relative_to(ROOT)} links to {target}"
            assert not anchor or anchor in anchors_of(file), f"{page.relative_to(ROOT)} links to {target}"


def test_every_file_and_module_that_a_page_names_exists() -> None:
    for page in PAGES:
        text = re.sub(r"^```(python|toml|yaml).*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for name in re.findall(r"(?<![\w/.-])(?:[\w.-]+/)+[\w-]+\.(?:py|yaml)\b", text):
            folders = (ROOT, ROOT / "esn_dist", page.parent)
            assert any((folder / name).is_file() for folder in folders), f"{page.relative_to(ROOT)} names {name}"
        for name in re.findall(r"\besn_dist\.\w+(?:\.\w+)+", text):
            module, _, attribute = name.rpartition(".")
            assert find(name) or hasattr(import_module(module), attribute), f"{page.relative_to(ROOT)} names {name}"


def find(module: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(module) is not None
    return False


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

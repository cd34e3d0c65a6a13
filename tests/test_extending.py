"""A package that follows docs/extending.md joins every registry: installed by pip, planned, run and reported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runner.planted import write_corpus, write_model

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, and a folder with the page's package and sweep."""

    folder: Path

    def python(self, *arguments: str) -> str:
        command = [str(self.folder / "venv/bin/python"), *arguments]
        result = subprocess.run(
            command, cwd=self.folder / "work", env=os.environ | {"PIP_NO_INPUT": "1"}, text=True, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
        return result.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("extending")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    # What esn_dist needs is as installed here; the new package is installed into the new environment alone.
    site = next((folder / "venv/lib").glob("python*/site-packages"))
    paths = [sysconfig.get_path("purelib"), str(PAGE.parents[1])]
    (site / "esn_dist_under_test.pth").write_text("\n".join(reversed(paths)), encoding="utf-8")
    package = folder / "package"
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        path = folder / "work" / name if name == "sweep.yaml" else package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    write_model(folder / "work" / "model")
    write_corpus(folder / "work" / "tones", evaluation=2, identification=4)
    made = Environment(folder)
    made.python("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", str(package))
    return made


def test_its_entries_are_planned_run_and_reported(environment: Environment) -> None:
    plan = json.loads(environment.python("-m", "esn_dist", "plan", "sweep.yaml", "--json"))
    assert plan["cells"] == 21
    environment.python("-m", "esn_dist", "run", "sweep.yaml", "--actors", "2")
    rows = json.loads(environment.python("-m", "esn_dist", "report", "store", "--json"))
    assert {(row["model"], row["selector"]) for row in rows} == {
        ("limited-omni", "Welch"), ("limited-omni", "RND-like-Welch"),
    }  # fmt: skip
    # The planted neurons are found by the new selector: without them in all layers, no answer names their emotion.
    effects = {(row["selector"], json.loads(row["parameters"])["depth"]): row["self_effect"] for row in rows}
    assert effects["Welch", 0.0] == -100
    assert effects["Welch", 0.0] < effects["RND-like-Welch", 0.0]
    assert "Late deactivation, d = 0.5" in environment.python("-m", "esn_dist", "report", "store")


def test_its_own_conformance_tests_pass(environment: Environment) -> None:
    tests = str(environment.folder / "package" / "tests")
    environment.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)

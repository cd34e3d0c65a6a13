"""Runs a benchmark's command line in this process, at smoke size. Knows which options the pages and docstrings name."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
DOCUMENTED = [
    *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.py"), ROOT / "esn_dist/sweep/rates.yaml",
]  # fmt: skip
COMMAND = re.compile(r"python benchmarks/(\w+)\.py([^`#&\n]*)")

# What each script is run with in the tests of this folder. Names in capitals are replaced by paths.
SMOKE = {
    "agreement": "--size tiny --utterances 4 --json JSON",
    "batching": "--per-emotion 1 --json JSON",
    "counts": "--size tiny --utterances 6 --rounds 1 --token-budget 4096 --json JSON",
    "encoding": "--size tiny --model audio-flamingo-3 --folder MODEL --utterances 3 --rounds 1 --json JSON",
    "engine": "--size tiny --utterances 8 --rounds 1 --seconds 0.05 --dots 0 --token-budget 4096 --json JSON",
    "full_size measure": "qwen2.5-omni-7b MODEL --utterances 4 --new-tokens 2",
    "full_size write": "kimi-audio-7b MODEL --small",
    "interventions": "--size tiny --utterances 10 --rounds 1 --token-budget 16384 --json JSON",
    "picture": "STORE SVG",
    "sharded": "qwen2.5-omni-7b MODEL --gpus 2 --utterances 12 --masks 2 --rounds 1 --token-budget 512 --json JSON",
    "slice": "qwen2.5-omni-7b MODEL --per-emotion 4 --candidates 30 --seeds 1 --actors 2 --gpus 2 --kill --json JSON "
    "--keep FOLDER",
    "tiny_model": "--out FOLDER --seeds 1 --json JSON",
}
IN_PROCESSES_OF_THEIR_OWN = {
    "scheduler": "--size tiny --workers --ray --json JSON",
    "store": "--size tiny --json JSON",
}
"""What `test_scale.py` runs: these measure their own memory, or files that no other test has touched."""


def arguments(command: str, **paths: Path) -> list[str]:
    """The smoke command's arguments, its capitals replaced."""
    words = shlex.split((SMOKE | IN_PROCESSES_OF_THEIR_OWN)[command])
    return [str(paths[word.lower()]) if word.isupper() else word for word in words]


def run(command: str, **paths: Path) -> str:
    """Run a smoke command; returns what it prints."""
    script, _, subcommand = command.partition(" ")
    module = import_module(script)
    app = getattr(module, "app", None) or typer.Typer()
    if not subcommand:
        app.command()(module.main)
    result = CliRunner().invoke(app, [*filter(None, [subcommand]), *arguments(command, **paths)])
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def figures(command: str, into: Path, **paths: Path) -> dict[str, Any]:
    """The figures that a smoke command writes as JSON into a folder."""
    run(command, json=(file := into / "figures.json"), **paths)
    return dict(json.loads(file.read_text(encoding="utf-8")))


def documented_options() -> dict[str, set[str]]:
    """Subcommands and options by script, from every command on the pages and in the benchmarks' docstrings."""
    options: dict[str, set[str]] = defaultdict(set)
    for file in DOCUMENTED:
        for script, rest in COMMAND.findall(file.read_text(encoding="utf-8")):
            words = rest.split()
            if script == "full_size" and words[:1] not in (["write"], ["measure"]):
                continue  # the script is named, but no command
            name = f"{script} {words[0]}" if script == "full_size" else script
            options[name] |= {word for word in words if word.startswith("--")}
    return options

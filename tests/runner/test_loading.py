"""A model that cannot be loaded in a real run: invalid input ends the run with one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_too_little_memory_ends_a_real_run_with_one_sentence_and_not_with_dead_actors(runner: Any) -> None:
    sweep: Path = runner.sweep("too-big")
    text = sweep.read_text(encoding="utf-8")
    sweep.write_text(text.replace("[tiny-qwen2.5-omni]", "[{name: tiny-qwen2.5-omni, memory: 0.0001}]"), "utf-8")
    process = runner.start(sweep)
    output = runner.output(process)
    assert process.returncode == 2, output
    assert output.count("the weights need") == output.count("error: ") == 1
    assert "cpu has 0.1 MB for them" in output and "offload: disk" in output
    assert "Traceback" not in output and "died" not in output

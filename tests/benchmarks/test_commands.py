"""Every benchmark of the engine runs at tiny size with one command and writes the figures that others read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import agreement
import counts
import interventions

ENGINE = Path(__file__).parents[2] / "benchmarks" / "engine.py"
KEYS = {
    "device", "versions", "dtype", "size", "utterances", "tokens_per_prompt", "new_tokens", "answers_per_second",
    "first_token_per_second", "setting", "rates", "ratio_to_usual", "ratio_to_batched", "matmul_tflops", "square_side",
    "tflop_per_answer", "share_of_matmul", "shares_of_matmul", "encoded_per_second", "composed_per_second",
    "answers_per_second_with_encoding", "peak_memory_gb",
}  # fmt: skip


def test_the_engine_is_measured_beside_the_usual_ways_and_the_ceiling(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    options = ["--utterances", "8", "--rounds", "1", "--seconds", "0.05"]
    command = [sys.executable, str(ENGINE), "--size", "tiny", "--json", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures.keys() == KEYS
    for key in ("answers_per_second", "first_token_per_second", "peak_memory_gb", "utterances"):
        assert figures[key].keys() == {"usual", "batched", "ours"}
    assert figures["matmul_tflops"].keys() == {"square", "shapes"}
    rates, share = figures["answers_per_second"], figures["share_of_matmul"]
    assert figures["ratio_to_usual"] == pytest.approx(rates["ours"] / rates["usual"], rel=1e-3)
    flop = 1e12 * figures["tflop_per_answer"] * rates["ours"]
    assert share == pytest.approx(flop / (1e12 * figures["matmul_tflops"]["square"]), rel=0.01)
    assert {"1 thread, 20 new", "2 processes, 1 new"} <= figures["rates"]["ours"].keys()
    assert "ours" in done.stdout


def test_interventions_are_compared_with_the_unsteered_engine(tmp_path: Path) -> None:
    interventions.main("tiny", file := tmp_path / "interventions.json", utterances=10, rounds=1)
    figures = read(file)
    assert figures["answers_per_second"].keys() == figures["overhead"].keys() == {
        "1 mask per batch, fold", "8 masks per batch, fold", "unsteered again", "one layer, fold", "all layers, fold",
        "one layer, gate", "all layers, gate", "mix",
    }  # fmt: skip


def test_counting_is_compared_with_the_same_pass_without(tmp_path: Path) -> None:
    counts.main("tiny", file := tmp_path / "counts.json", utterances=6, rounds=1)
    figures = read(file)
    assert figures["added_to_time"].keys() == {"ours, counted", "ours, usual hook", "batched, usual hook"}
    assert figures["answers_per_second"].keys() == figures["utterances"].keys()
    assert figures["hook_calls"]["batched, usual hook"] > 0


def test_agreement_is_told_for_each_dtype(tmp_path: Path) -> None:
    agreement.main("tiny", file := tmp_path / "agreement.json", utterances=4)
    found = read(file)["agreement"]
    assert found.keys() == {"float32", "bfloat16"}
    assert found["float32"]["deactivated"]["unequal"] == 0


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))

"""Every benchmark of the engine runs at tiny size with one command and writes the figures that others read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agreement
import counts
import interventions
import sharded
from esn_dist.gates.find import find_gates
from esn_dist.inference.engine import BatchRequest
from esn_dist.worker.prompt_batches import PromptBatches
from full_size import write_omni

MODEL = "qwen2.5-omni-7b"
ENGINE = Path(__file__).parents[2] / "benchmarks" / "engine.py"
KEYS = {
    "device", "versions", "dtype", "size", "utterances", "tokens_per_prompt", "shared_tokens", "new_tokens",
    "answers_per_second", "first_token_per_second", "setting", "rates", "ratio_to_usual", "ratio_to_batched",
    "matmul_tflops", "square_side", "tflop_per_answer", "share_of_matmul", "shares_of_matmul", "encoded_per_second",
    "composed_per_second", "answers_per_second_with_encoding", "peak_memory_gb",
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
    assert figures["added_to_time"].keys() == set(counts.PLAIN)
    assert figures["answers_per_second"].keys() == figures["utterances"].keys()
    assert figures["hook_calls"]["batched, usual hook"] > 0


def test_what_counting_adds_is_told_from_what_it_launches_and_not_from_the_clock() -> None:
    """Products differ by more between two passes than counts cost."""
    plain = defaultdict(lambda: (0, 0.0), {"product": (100, 9.0), "gated": (10, 1.0)})
    own = defaultdict(lambda: (0, 0.0), {"product": (100, 8.0), "counted": (10, 1.2), "Memcpy DtoH": (1, 0.5)})
    assert counts.more_of(own, plain) == pytest.approx((0.02, 0.05))


def test_agreement_is_told_for_each_dtype(tmp_path: Path) -> None:
    agreement.main("tiny", file := tmp_path / "agreement.json", utterances=4)
    found = read(file)["agreement"]
    assert found.keys() == {"float32", "bfloat16"}
    assert found["float32"]["deactivated"]["unequal"] == 0


def test_a_replica_over_several_devices_answers_as_the_whole_one(tmp_path: Path) -> None:
    write_omni(checkpoint := tmp_path, small=True)
    sharded.main(MODEL, checkpoint, 2, file := tmp_path / "sharded.json", 12, masks=2, rounds=1, token_budget=512)
    figures = read(file)
    assert figures["batches"] > 2 and figures["cells"] == 3 and figures["answered"] > 0.5
    same = {"answers_equal": 1.0, "largest_logprob_difference": 0.0}
    assert "masks_move_logprob" in figures
    assert figures["against_whole"] == {"naive": same, "ours": same}
    for way in ("whole", "naive", "ours"):
        assert figures[way].keys() == {"answers_per_second", "rates", "peak_gb", "gpu_busy_percent"}


@pytest.fixture
def one_replica(tmp_path: Path) -> PromptBatches:
    write_omni(tmp_path, small=True)
    lm = sharded.loaded(MODEL, tmp_path, 1, "cpu")
    return sharded.prompt_batches_of(lm, sharded.encoded(lm, 8), 256)


def test_ways_that_are_asked_under_other_masks_do_not_answer_alike(one_replica: PromptBatches) -> None:
    """What the comparison is worth."""
    gates = find_gates(one_replica.engine.model.decoder)
    everything = np.ones((len(gates), gates[0].width), bool)
    baseline, masked = (sharded.cells_of(one_replica, [mask]) for mask in (None, everything))
    assert sharded.against(baseline, masked)["largest_logprob_difference"] > 0
    assert sharded.against(baseline, baseline)["largest_logprob_difference"] == 0


def test_the_naive_way_looks_at_no_batch_before_all_gpus_have_done_the_last_one(
    one_replica: PromptBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "synchronize", seen.append)

    def asked() -> Iterator[BatchRequest[Any]]:
        for at, batch in one_replica.batches:
            seen.append("batch")
            yield BatchRequest(batch, one_replica.options_nE[at])

    said = list(sharded.one_by_one(one_replica).engine.answer_batches(asked(), 2, one_replica.prefix))
    assert len(said) > 3
    assert seen == ["batch", 0, 1] * len(said)


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))

"""Every documented benchmark command runs once at smoke size, with every documented option.

`test_slice.py` and `test_encoding.py` run those of `slice.py` and `encoding.py`, `test_scale.py` those of the driver
and the store.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import counts
import esn_dist
import sharded
import tiny_model
from esn_dist.backends import ray_session
from esn_dist.cli import app
from esn_dist.gates.find import find_gates
from esn_dist.inference.engine import BatchRequest
from esn_dist.worker.prompt_batches import PromptBatches
from full_size import write_omni
from tests.benchmarks.in_process import InProcessBackend
from tests.benchmarks.smoke import IN_PROCESSES_OF_THEIR_OWN, SMOKE, documented_options, figures, run

MODEL = "qwen2.5-omni-7b"
KEYS = {
    "device", "versions", "dtype", "size", "utterances", "tokens_per_prompt", "shared_tokens", "new_tokens",
    "answers_per_second", "first_token_per_second", "setting", "rates", "ratio_to_reference", "ratio_to_usual",
    "ratio_to_batched", "matmul_tflops", "square_side", "tflop_per_answer", "share_of_matmul", "shares_of_matmul",
    "encoded_per_second", "composed_per_second", "answers_per_second_with_encoding", "peak_memory_gb",
}  # fmt: skip


def test_every_documented_option_of_every_command_is_run() -> None:
    documented, executed = documented_options(), SMOKE | IN_PROCESSES_OF_THEIR_OWN
    assert documented.keys() == executed.keys()
    missing = {name: options - set(executed[name].split()) for name, options in documented.items()}
    assert not any(missing.values()), missing


def test_the_engine_is_measured_with_the_references_and_the_ceiling(tmp_path: Path) -> None:
    measured = figures("engine", tmp_path)
    assert measured.keys() == KEYS
    for key in ("answers_per_second", "first_token_per_second", "peak_memory_gb", "utterances"):
        assert measured[key].keys() == {"reference", "usual", "batched", "ours"}
        assert measured[key]["usual"] == measured[key]["reference"]
    assert measured["matmul_tflops"].keys() == {"square", "shapes"}
    rates, share = measured["answers_per_second"], measured["share_of_matmul"]
    assert measured["ratio_to_reference"] == pytest.approx(rates["ours"] / rates["reference"], rel=1e-3)
    assert measured["ratio_to_usual"] == measured["ratio_to_reference"]
    flop = 1e12 * measured["tflop_per_answer"] * rates["ours"]
    assert share == pytest.approx(flop / (1e12 * measured["matmul_tflops"]["square"]), rel=0.01)
    assert {"1 thread, 20 new", "2 processes, 1 new"} <= measured["rates"]["ours"].keys()


def test_interventions_are_compared_with_the_unintervened_engine(tmp_path: Path) -> None:
    measured = figures("interventions", tmp_path)
    assert measured["answers_per_second"].keys() == measured["overhead"].keys() == {
        "1 mask per batch, fold", "8 masks per batch, fold", "unsteered again", "one layer, fold", "all layers, fold",
        "one layer, gate", "all layers, gate", "mix",
    }  # fmt: skip


def test_counting_is_compared_with_the_same_pass_without(tmp_path: Path) -> None:
    measured = figures("counts", tmp_path)
    assert measured["added_to_time"].keys() == set(counts.PLAIN)
    assert measured["answers_per_second"].keys() == measured["utterances"].keys()
    assert measured["hook_calls"]["batched, usual hook"] > 0


def test_the_work_that_counting_adds_is_known_from_its_launches_and_not_from_the_clock() -> None:
    """Products differ by more between two passes than counts cost."""
    plain = defaultdict(lambda: (0, 0.0), {"product": (100, 9.0), "gated": (10, 1.0)})
    counting = defaultdict(lambda: (0, 0.0), {"product": (100, 8.0), "counted": (10, 1.2), "Memcpy DtoH": (1, 0.5)})
    assert counts.added_work(counting, plain) == pytest.approx((0.02, 0.05))


def test_agreement_is_measured_in_each_dtype(tmp_path: Path) -> None:
    agreement = figures("agreement", tmp_path)["agreement"]
    assert agreement.keys() == {"float32", "bfloat16"}
    assert agreement["float32"]["deactivated"]["unequal"] == 0


def test_batches_are_answered_as_one_by_one(tmp_path: Path) -> None:
    measured = figures("batching", tmp_path)
    assert measured["answers_equal"] == measured["texts_equal"] == measured["utterances"] == 5
    assert measured["largest_logprob_difference"] < 1e-4
    assert measured["audio_rows"] == measured["audio_embeds"]


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_omni(folder := tmp_path_factory.mktemp("omni"), small=True)
    return folder


def test_a_written_folder_is_loaded_and_measured(omni: Path) -> None:
    measured = json.loads(run("full_size measure", model=omni))
    assert measured["engine"] == "PackedEngine" and measured["shared_prefix"] > 0
    for rate in ("clips_per_second", "answers_per_second", "deactivated_per_second", "counted_per_second"):
        assert measured[rate] > 0


def test_a_folder_is_written_in_the_published_form(tmp_path: Path) -> None:
    written = json.loads(run("full_size write", model=tmp_path))
    assert written["bytes"] == sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")) > 0


def test_the_summary_of_a_store_is_drawn(small_store: Path, tmp_path: Path) -> None:
    run("picture", store=small_store, svg=(svg := tmp_path / "summary.svg"))
    assert "<svg" in svg.read_text(encoding="utf-8") and "@font-face" not in svg.read_text(encoding="utf-8")


TINY_QUICKSTART = """\
name: quickstart
seed: 1
models: []
corpora:
  - &speech
    name: room
    type: synthetic
    condition: room
    emotions: [anger, joy]
    evaluation: {splits: [evaluation], per_emotion: 2}
    identification: {splits: [identification], candidates: 2, cap: 2}
  - {<<: *speech, name: phone, condition: phone}
studies: {one: {selectors: [RND], fractions: 10 %, seeds: 1, interventions: [deactivate]}}
"""


def test_models_of_several_seeds_are_measured_and_the_median_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only seed's checkpoint is in the folder already, as after an interruption: nothing is trained."""

    def in_this_process(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout

    monkeypatch.setattr(ray_session, "RayBackend", InProcessBackend)
    monkeypatch.setattr(tiny_model, "esn_dist", in_this_process)
    (sweep := tmp_path / "quickstart.yaml").write_text(TINY_QUICKSTART, encoding="utf-8")
    monkeypatch.setattr(tiny_model, "QUICKSTART", sweep)
    shutil.copytree(next(Path(esn_dist.__file__).parent.rglob("training.json")).parent, tmp_path / "seed-0")
    measured = figures("tiny_model", tmp_path, folder=tmp_path)
    assert measured["median"] == 0 and measured["rows"].keys() == {"development", "evaluation"}
    for (row,) in measured["rows"].values():
        assert 0 <= row["accuracy"] <= 100 and {"self_effect", "cross_effect", "gap"} <= row["deactivate RND"].keys()


def test_a_replica_over_several_devices_answers_as_the_whole_one(omni: Path, tmp_path: Path) -> None:
    measured = figures("sharded", tmp_path, model=omni)
    assert measured["batches"] > 2 and measured["cells"] == 3 and measured["answered"] > 0.5
    same = {"answers_equal": 1.0, "largest_logprob_difference": 0.0}
    assert "masks_move_logprob" in measured
    assert measured["against_whole"] == {"naive": same, "ours": same}
    for method in ("whole", "naive", "ours"):
        assert measured[method].keys() == {"answers_per_second", "rates", "peak_gb", "gpu_busy_percent"}


@pytest.fixture
def one_replica(omni: Path) -> PromptBatches:
    lm = sharded.loaded(MODEL, omni, 1, "cpu")
    return sharded.prompt_batches_of(lm, sharded.encoded(lm, 8), 256)


def test_answers_under_different_masks_differ(one_replica: PromptBatches) -> None:
    """Without a difference here the comparison would show nothing."""
    gates = find_gates(one_replica.engine.model.decoder)
    everything = np.ones((len(gates), gates[0].width), bool)
    baseline, masked = (sharded.cells_of(one_replica, [mask]) for mask in (None, everything))
    assert sharded.against(baseline, masked)["largest_logprob_difference"] > 0
    assert sharded.against(baseline, baseline)["largest_logprob_difference"] == 0


def test_the_naive_method_starts_no_batch_before_all_gpus_have_finished_the_last_one(
    one_replica: PromptBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[object] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "synchronize", order.append)

    def requests() -> Iterator[BatchRequest[Any]]:
        for rows, batch in one_replica.batches:
            order.append("batch")
            yield BatchRequest(batch, one_replica.options_nE[rows])

    answers = list(sharded.one_by_one(one_replica).engine.answer_batches(requests(), 2, one_replica.prefix))
    assert len(answers) > 3
    assert order == ["batch", 0, 1] * len(answers)

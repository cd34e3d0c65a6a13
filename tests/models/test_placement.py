"""Placement: explicit maps, and sharded or offloaded results equal to whole ones, bit for bit on one sort of device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from esn_dist.errors import UserError
from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.gates.mix import Mix
from esn_dist.gates.scale import can_fold, scaled
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import pad
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.from_pretrained import skeleton
from esn_dist.models.loading import load
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny.architecture import TinySize, thinker_config, tokenizer
from esn_dist.sweep.spec import ModelSpec
from esn_dist.terms import Part


@pytest.fixture(scope="module")
def meta() -> Any:
    """A thinker of ten layers without weights."""
    config = thinker_config(TinySize(hidden=64, layers=10, gates=256), tokenizer())
    return skeleton(Qwen2_5OmniThinkerForConditionalGeneration, config)


def bytes_of(meta: Any) -> int:
    return sum(4 * p.numel() for p in meta.parameters())


def test_layers_are_spread_over_the_gpus_in_order_and_none_is_split(meta: Any) -> None:
    placed = Placement("cuda", 2, memory=bytes_of(meta)).device_map(meta, torch.float32)
    names = [f"model.language_model.layers.{i}" for i in range(10)]
    layers = [next(device for part, device in placed.items() if name.startswith(part)) for name in names]
    assert layers == sorted(layers) and set(layers) == set(placed.values()) == {0, 1}
    assert not any(name.count(".") > 3 and "language_model.layers" in name for name in placed)
    assert layers.count(0) == 5, "a pipeline is as fast as the GPU with the most layers"
    assert placed["model.audio_tower"] == placed["model.language_model.embed_tokens"] == 0 != placed["lm_head"]


@pytest.mark.parametrize("gpus", [2, 3, 4])
def test_every_weight_has_one_place_and_no_gpu_gets_more_than_its_share_of_layers(meta: Any, gpus: int) -> None:
    placed = Placement("cuda", gpus, memory=bytes_of(meta)).device_map(meta, torch.float32)
    held = [[part for part in placed if f"{name}.".startswith(f"{part}.")] for name, _ in meta.named_parameters()]
    assert all(len(parts) == 1 for parts in held)
    shares = [
        sum(".language_model.layers." in part and device == gpu for part, device in placed.items())
        for gpu in range(gpus)
    ]
    assert sum(shares) == 10 and max(shares) == -(-10 // gpus)


def test_where_equal_shares_do_not_fit_bytes_decide(meta: Any) -> None:
    """The first GPU holds the audio encoder and the token table too."""
    placed = Placement("cuda", 2, memory=int(0.7 * bytes_of(meta))).device_map(meta, torch.float32)
    shares = [
        sum(".language_model.layers." in part and device == gpu for part, device in placed.items()) for gpu in (0, 1)
    ]
    assert 0 < shares[0] < shares[1]


def test_a_launchers_environment_does_not_change_the_map(meta: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`device_map="auto"` only warns under these."""
    before = Placement("cuda", 2, memory=bytes_of(meta)).device_map(meta, torch.float32)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert Placement("cuda", 2, memory=bytes_of(meta)).device_map(meta, torch.float32) == before


def test_weights_that_do_not_fit_on_two_gpus_go_to_memory_last_layers_first() -> None:
    config = thinker_config(TinySize(hidden=64, layers=40, gates=256), tokenizer())
    deep = skeleton(Qwen2_5OmniThinkerForConditionalGeneration, config)
    placed = Placement("cuda", 2, "cpu", memory=int(0.4 * bytes_of(deep))).device_map(deep, torch.float32)
    names = [f"model.language_model.layers.{i}" for i in range(40)]
    layers = [next(device for part, device in placed.items() if f"{name}.".startswith(f"{part}.")) for name in names]
    assert set(placed.values()) == {0, 1, "cpu"}
    assert layers == sorted(layers, key=[0, 1, "cpu"].index)


def test_offloading_to_memory_where_the_work_is_done_in_memory_is_no_offloading(meta: Any) -> None:
    with pytest.raises(UserError, match=r"cpu has .* for them") as error:
        Placement("cpu", offload="cpu", memory=bytes_of(meta) // 2).device_map(meta, torch.float32)
    assert error.value.fix == "set dtype: bfloat16, or offload: disk"


def test_offloaded_to_memory_all_is_as_with_weights_in_place(omni: Qwen25Omni, folder: Path, tools: Any) -> None:
    """What `offload: cpu` does with a GPU, done by accelerate's same hooks with the CPU as the working device."""
    away = Qwen25Omni.load(folder, torch.float32, Placement(), Qwen25Omni.settings)
    accelerate.cpu_offload(away.thinker, execution_device=torch.device("cpu"))
    gates, whole_gates = find_gates(away.decoder), find_gates(omni.decoder)
    assert all(g.down.is_meta for g in gates) and not can_fold(gates)
    counters = [ActivationCounter(g, 2, len(Part)) for g in (gates, whole_gates)]
    with counters[0].hooks(), counters[1].hooks():
        answers, expected = ask(away, tools, counters[0]), ask(omni, tools, counters[1])
    assert answers.tokens == expected.tokens and np.array_equal(answers.logprob_BO, expected.logprob_BO)
    assert np.array_equal(counters[0].result()[0], counters[1].result()[0])
    member_LN = np.random.default_rng(0).random((3, 64)) < 0.4
    with scaled(gates, member_LN, 0.0, "gate"), scaled(whole_gates, member_LN, 0.0, "fold"):
        assert ask(away, tools).tokens == ask(omni, tools).tokens != expected.tokens


def test_mix_acts_on_offloaded_layers_as_on_layers_in_place(omni: Qwen25Omni, folder: Path, tools: Any) -> None:
    away = Qwen25Omni.load(folder, torch.float32, Placement(), Qwen25Omni.settings)
    accelerate.cpu_offload(away.thinker, execution_device=torch.device("cpu"))
    member_ELN = np.random.default_rng(1).random((3, 3, 64)) < 0.3
    answers = []
    for lm in (away, omni):
        mix = Mix(find_gates(lm.decoder), member_ELN, 2.0, 0.5)
        with mix.hooks():
            answers.append(ask(lm, tools, mix))
    assert answers[0].tokens == answers[1].tokens
    assert np.array_equal(answers[0].logprob_BO, answers[1].logprob_BO)
    assert not np.array_equal(answers[0].logprob_BO, ask(omni, tools).logprob_BO)


def test_too_little_memory_says_how_much_is_needed_and_what_to_set(meta: Any) -> None:
    with pytest.raises(UserError, match=r"need \d+\.\d MB in float32") as error:
        Placement("cuda", 1, memory=1_000).device_map(meta, torch.float32)
    assert error.value.fix == "set dtype: bfloat16, or gpus: 2 or more, or offload: cpu, or offload: disk"
    with pytest.raises(UserError, match=r"cpu has 0\.0 MB"):
        Placement("cpu", memory=1_000).device_map(meta, torch.bfloat16)


def test_more_gpus_than_there_are_is_refused(meta: Any) -> None:
    with pytest.raises(UserError, match="64 GPUs per replica are required"):
        Placement("cuda", 64).device_map(meta, torch.float32)


@pytest.fixture(scope="module")
def folder(omni: Qwen25Omni, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("omni")
    omni.thinker.save_pretrained(path)
    omni.tokenizer.save_pretrained(path)
    omni.extractor.save_pretrained(path)
    return path


def ask(lm: AudioLM, tools: Any, watcher: ActivationCounter | Mix | None = None) -> BatchAnswers:
    rows = [lm.encode_clip(tools.wave(samples)) for samples in (4_000, 37_920)]
    batch = pad(lm, [lm.prompt(len(r), "Which?") for r in rows], rows)
    return answer(lm, batch, torch.arange(50).expand(2, -1), 4, watcher)


def test_weights_on_disk_give_the_same_bits_counts_and_deactivations(
    omni: Qwen25Omni, folder: Path, tools: Any
) -> None:
    offloaded = Qwen25Omni.load(folder, torch.float32, Placement(offload="disk", memory=450_000), Qwen25Omni.settings)
    devices = set(offloaded.thinker.hf_device_map.values())
    assert devices == {"cpu", "disk"}
    gates, whole_gates = find_gates(offloaded.decoder), find_gates(omni.decoder)
    assert not can_fold(gates), "weights on disk are placeholders"
    counters = [ActivationCounter(g, 2, len(Part)) for g in (gates, whole_gates)]
    with counters[0].hooks(), counters[1].hooks():
        answers, expected = ask(offloaded, tools, counters[0]), ask(omni, tools, counters[1])
    assert answers.tokens == expected.tokens
    assert np.array_equal(answers.logprob_BO, expected.logprob_BO)
    assert np.array_equal(counters[0].result()[0], counters[1].result()[0])
    member_LN = np.random.default_rng(0).random((3, 64)) < 0.4
    with scaled(gates, member_LN, 0.0, "gate"), scaled(whole_gates, member_LN, 0.0, "fold"):
        answers, without = ask(offloaded, tools), ask(omni, tools)
    assert answers.tokens == without.tokens != expected.tokens
    with pytest.raises(ValueError, match="scale at the gate"), scaled(gates, member_LN, 0.0, "fold"):
        pass


def test_a_sweeps_model_is_offloaded_as_its_spec_says(folder: Path) -> None:
    spec = ModelSpec.model_validate(
        {"name": "qwen2.5-omni-7b", "source": str(folder), "dtype": "float32", "offload": "disk", "memory": 0.00015}
    )
    lm: Any = load(spec, "cpu")
    assert "disk" in lm.thinker.hf_device_map.values()


def test_the_folder_of_offloaded_weights_goes_with_the_model(folder: Path, tools: Any, tmp_path: Path) -> None:
    import gc
    import tempfile

    before = set(Path(tempfile.gettempdir()).glob("esn-dist-*"))
    lm = Qwen25Omni.load(folder, torch.float32, Placement(offload="disk", memory=150_000), Qwen25Omni.settings)
    ask(lm, tools)
    del lm
    gc.collect()
    assert set(Path(tempfile.gettempdir()).glob("esn-dist-*")) <= before

"""doctor: what a model is made of from its configuration alone, and what is wrong with a folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from esn_dist.errors import UserError
from esn_dist.inference.packed import layers
from esn_dist.inference.selfcheck import check, self_check
from esn_dist.models.doctor import diagnose, doctor_text
from esn_dist.models.loading import adapter_class
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny.architecture import TinySize, feature_extractor, thinker_config, tokenizer
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS, MODELS, AdapterEntry

# model type: (layers, width, structure, activation) of transformers' default configuration
GATED = {
    "qwen2_5_omni": (28, 18944, "separate", "SiLUActivation"),
    "qwen2_audio": (32, 22016, "separate", "SiLUActivation"),
    "voxtral": (30, 8192, "separate", "SiLUActivation"),
    "glmasr": (28, 6144, "separate", "SiLUActivation"),
    "musicflamingo": (32, 22016, "separate", "SiLUActivation"),
    "granite_speech": (32, 11008, "separate", "SiLUActivation"),
    "phi4_multimodal": (32, 8192, "fused", "SiLUActivation"),
    "qwen3_omni_moe_thinker": (28, 128 * 768, "experts", "SiLUActivation"),
}
REFUSED = {
    "gemma3n": "in 10 layers 95% of the gates are set to zero by a top-k",
    "gemma4": "sliding window",
    "nemotron_h_omni": "layer 0 .* but has: none",
    "llama": "takes no audio",
}


@pytest.mark.parametrize("model", GATED)
def test_gates_are_found_from_the_configuration_alone(model: str) -> None:
    facts = diagnose(model)
    assert (facts["layers"], facts["width"], facts["form"], facts["activation"]) == GATED[model]
    assert facts["supported"] and facts["neurons"] == facts["layers"] * facts["width"]
    assert facts["memory_gb"]["float32"] == pytest.approx(4 * facts["parameters"] / 1e9, abs=1e-3)


@pytest.mark.parametrize("model", REFUSED)
def test_what_is_not_supported_is_refused_by_name_with_the_reason(model: str) -> None:
    facts = diagnose(model)
    assert not facts["supported"]
    assert re.search(REFUSED[model], facts["reason"]), facts["reason"]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'kimi-audio-7b'"):
        diagnose("kimi-audio-7B-")


@pytest.mark.parametrize("adapter", BUILTIN_ADAPTERS.values(), ids=BUILTIN_ADAPTERS.keys())
def test_every_adapter_s_class_can_be_imported_and_has_the_entry_s_settings(adapter: AdapterEntry) -> None:
    assert adapter_class(adapter).settings == adapter.settings  # type: ignore[attr-defined]


def test_the_shipped_model_is_whole_and_its_registered_facts_are_true() -> None:
    facts, entry = diagnose("tiny-qwen2.5-omni"), MODELS["tiny-qwen2.5-omni"]
    assert (facts["layers"], facts["width"]) == (entry.layers, entry.width)
    assert facts["weights"]["tensors"] > 50 and facts["supported"]
    assert "supported   yes" in doctor_text(facts)


def test_the_command_prints_json_and_its_exit_code_tells() -> None:
    command = [sys.executable, "-m", "esn_dist", "doctor", "--json"]
    good = subprocess.run([*command, "tiny-qwen2.5-omni"], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["layers"] == 4
    bad = subprocess.run([*command[:-1], "no-such-model"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2 and "no registered model" in bad.stderr and "Traceback" not in bad.stderr


def test_deep_compares_the_shipped_model_with_slow_references() -> None:
    assert self_check("tiny-qwen2.5-omni") == {
        "loads": True, "gates_equal_entry": True, "batched_equals_single": True, "equals_uncached_greedy": True,
        "counts_equal_hook": True,
        "packed_equals_padded": True, "packed_equals_plain": True, "deactivation_equals_hook": True,
    }  # fmt: skip


def test_deep_notices_a_model_whose_answers_depend_on_the_padding(omni: Qwen25Omni, monkeypatch: Any) -> None:
    """As a popular runner's did: accuracy 0.55 alone and 0.067 in a batch of eight."""
    forward = omni.decoder.forward

    def forgets_the_mask(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **{**kwargs, "attention_mask": None})

    monkeypatch.setattr(omni.decoder, "forward", forgets_the_mask)
    claims = check(omni)
    assert not claims["batched_equals_single"]


def test_deep_notices_a_packed_engine_that_errs(omni: Qwen25Omni, monkeypatch: Any) -> None:
    monkeypatch.setattr(layers, "attend", lambda q_THW, kept, geometry: torch.zeros_like(q_THW))
    claims = check(omni)
    assert not claims["packed_equals_padded"] and not claims["packed_equals_plain"]
    assert not claims["deactivation_equals_hook"]
    assert claims["batched_equals_single"] and claims["equals_uncached_greedy"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole thinker's folder."""
    torch.manual_seed(3)
    size = TinySize(hidden=32, layers=2, gates=64, audio_width=32, audio_ffn=64)
    model: Any = Qwen2_5OmniThinkerForConditionalGeneration(thinker_config(size, tokenizer()))
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    feature_extractor().save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_with_weights_missing_is_refused_by_their_names(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "layers.1.mlp.down_proj" in name and "visual" not in name)
    save_file({n: v for n, v in weights.items() if n != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing.*layers\.1\.mlp\.down_proj"):
        diagnose(str(folder))


def test_a_folder_whose_shapes_contradict_its_configuration_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 60
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has shape") as error:
        diagnose(str(folder))
    assert error.value.expected and "config.json" in error.value.expected

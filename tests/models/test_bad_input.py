"""Bad input: one clear sentence each, before work starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from pydantic import ValidationError
from rich.console import Console

from esn_dist.backends.ray_session import RayBackend
from esn_dist.errors import UserError
from esn_dist.models.audio_flamingo_3.adapter import AudioFlamingo3
from esn_dist.models.checkpoint import stored_tensors
from esn_dist.models.download import locate_checkpoint, package_folder, weights_fingerprint
from esn_dist.models.loading import load
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.runner.driver import run as drive
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import describe
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.model_catalog import BUILTIN_ADAPTERS
from esn_dist.sweep.spec import ModelSpec

SHIPPED = package_folder("package:models/tiny/checkpoint")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped checkpoint, to be damaged."""
    assert SHIPPED
    for path in SHIPPED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def spec(source: Path | str, **more: Any) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "model": "qwen2.5-omni-7b", "source": str(source), **more})


def test_a_folder_that_is_no_models(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights"):
        locate_checkpoint(spec(tmp_path))
    with pytest.raises(UserError, match=r"no config\.json"):
        Qwen25Omni.load(tmp_path, torch.float32, Placement(), Qwen25Omni.settings)


def test_pickled_weights_are_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pickled weights \(pytorch_model\.bin\)"):
        locate_checkpoint(spec(folder))


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_that_was_cut_off(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"model\.safetensors: (cut off|has \d+ bytes|its header)") as error:
        load(spec(folder), "cpu")
    assert error.value.fix and "download" in error.value.fix


def test_an_index_that_its_shards_contradict(folder: Path) -> None:
    index = {"weight_map": {"no.such.weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="names 1 tensors that their files do not hold"):
        stored_tensors(folder)


def test_an_index_that_names_a_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"x": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors: this shard"):
        stored_tensors(folder)


def test_another_architecture_is_refused_where_transformers_would_only_warn(folder: Path) -> None:
    with pytest.raises(UserError, match="holds a model of type 'qwen2_5_omni_thinker'") as error:
        AudioFlamingo3.load(folder, torch.float32, Placement(), AudioFlamingo3.settings)
    assert error.value.expected == "'audioflamingo3'"


def test_a_config_that_is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        load(spec(folder), "cpu")


def test_a_tokenizer_without_a_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        load(spec(folder), "cpu")


@pytest.mark.parametrize(
    ("refusal", "problem", "fix"),
    [
        (errors.GatedRepoError, "gated, and no valid Hugging Face token was found", "hf auth login"),
        (errors.RepositoryNotFoundError, "neither a local folder nor a repository", "OWNER/NAME"),
    ],
)
def test_what_the_hub_refuses(monkeypatch: pytest.MonkeyPatch, refusal: Any, problem: str, fix: str) -> None:
    """The hub's own errors, without the hub."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise refusal("401", response=httpx2.Response(401, request=httpx2.Request("GET", "https://example.org")))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=problem) as error:
        locate_checkpoint(spec("nvidia/audio-flamingo-3-hf"))
    assert error.value.fix and fix in error.value.fix


def test_no_network_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match="the download from the hub failed: no route to host"):
        locate_checkpoint(spec("some/where"))


@pytest.mark.parametrize(
    ("field", "value"), [("dtype", "float8"), ("device", "tpu"), ("gpus", 0), ("offload", "cloud")]
)
def test_unsupported_settings_are_refused_by_the_spec(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        spec("x", **{field: value})


def test_the_fingerprint_of_a_full_clone_is_that_of_our_download(folder: Path) -> None:
    before = weights_fingerprint(folder, BUILTIN_ADAPTERS["kimi-audio"])
    for name in ("think", "vocoder"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    assert weights_fingerprint(folder, BUILTIN_ADAPTERS["kimi-audio"]) == before


def test_the_fingerprint_sees_files_in_subfolders(folder: Path) -> None:
    """Kimi-Audio's Whisper weights are in one."""
    before = weights_fingerprint(folder, BUILTIN_ADAPTERS["kimi-audio"])
    (folder / "whisper-large-v3").mkdir()
    (folder / "whisper-large-v3" / "config.json").write_text("{}")
    assert weights_fingerprint(folder, BUILTIN_ADAPTERS["kimi-audio"]) != before


def test_the_last_models_mistake_is_told_before_a_corpus_is_read(folder: Path, tmp_path_factory: Any) -> None:
    """Before the other models run."""
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    work = tmp_path_factory.mktemp("sweep")
    text = f"""\
name: test
seed: 1
store: store
models: [tiny-qwen2.5-omni, {{name: mine, source: {folder}}}]
corpora: [{{name: studio, type: synthetic, condition: studio, emotions: [anger, joy]}}]
studies: {{one: {{selectors: [MAD], interventions: [deactivate]}}}}
"""
    (work / "sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.safetensors: has \d+ bytes"):
        drive(load_sweep(work / "sweep.yaml"), text, RayBackend(), actors=1, progress=ProgressDisplay(Console()))
    assert describe(StoreFolder(work / "store")).corpora == {}

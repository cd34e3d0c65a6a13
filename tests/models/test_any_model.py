"""A model that no registry knows, by a folder in the YAML: adapter, shape, dtype and plan told by its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.models.download import package_folder
from esn_dist.models.loading import load, spec_of
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.resolve import adapter_of, dtype_name, local_gate_shapes, model_settings
from esn_dist.report.plan import plan_text
from esn_dist.runner.prepare import prepare_model
from esn_dist.store import create
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_model
from esn_dist.sweep.forecast import forecast
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import ModelSpec

SHIPPED = package_folder("package:models/tiny/checkpoint")
SWEEP = """\
name: test
seed: 1
models: [{{name: mine, source: {source}}}]
corpora: [{{name: studio, type: synthetic, condition: studio, emotions: [anger, joy]}}]
studies: {{one: {{selectors: [MAD], fractions: 1 %, interventions: [deactivate]}}}}
"""


def sweep(folder: Path, source: Path | str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(source=source), encoding="utf-8")
    return path


def test_a_folder_in_the_yaml_is_loaded_by_the_adapter_of_its_architecture(tmp_path: Path) -> None:
    assert SHIPPED
    loaded = load_sweep(sweep(tmp_path, SHIPPED))
    spec = loaded.models[0]
    assert (spec.model, adapter_of(spec, SHIPPED).name, dtype_name(spec, SHIPPED)) == ("any", "qwen2.5-omni", "float32")
    assert model_settings(spec, SHIPPED)["system_prompt"] == "You are a helpful assistant."
    assert isinstance(load(spec, "cpu"), Qwen25Omni)
    folder = StoreFolder(tmp_path / "store")
    create.create_root(folder, {})
    prepare_model(spec, plan(loaded), {}, folder)
    stored = read_model(folder, "mine")
    assert stored and (stored["layers"], stored["width"], stored["model"]) == (4, 256, "any")
    assert stored["engine"]["dtype"] == "float32" and "sparse_gates" not in stored


@pytest.mark.parametrize(
    ("architecture", "adapter"),
    [
        ("AudioFlamingo3ForConditionalGeneration", "audio-flamingo-3"),
        ("MoonshotKimiaForCausalLM", "kimi-audio"),
        ("Qwen2AudioForConditionalGeneration", "generic"),
    ],
)
def test_the_architecture_determines_the_adapter(tmp_path: Path, architecture: str, adapter: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture], "torch_dtype": "float16"}))
    spec = ModelSpec.model_validate({"name": "mine", "source": str(tmp_path)})
    assert adapter_of(spec, tmp_path).name == adapter and dtype_name(spec, tmp_path) == "float16"
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert dtype_name(spec, tmp_path) == "bfloat16"


def test_a_plan_takes_the_shape_from_the_folder_or_says_that_it_is_unknown(tmp_path: Path) -> None:
    here, remote = load_sweep(sweep(tmp_path, str(SHIPPED))), load_sweep(sweep(tmp_path, "someone/something"))
    assert local_gate_shapes(here.models) == {"mine": (4, 256)} and local_gate_shapes(remote.models) == {}
    known, unknown = (forecast(s, None, local_gate_shapes(s.models)) for s in (here, remote))
    assert known.studies[0].bytes and known.studies[0].bytes > known.masks * 4 * 256
    assert unknown.bytes is unknown.studies[0].bytes is None
    assert "adds unknown GPU-hours, an unknown size" in plan_text(unknown)
    assert "store    unknown" in plan_text(unknown)


def test_deep_takes_a_hub_id_too_but_no_mere_model_type() -> None:
    spec = spec_of("someone/something")
    assert (spec.model, spec.source) == ("any", "someone/something")
    with pytest.raises(UserError, match="unknown model"):
        spec_of("voxtral")


def test_a_name_that_is_neither_registered_nor_has_a_source_is_a_mistake(tmp_path: Path) -> None:
    path = sweep(tmp_path, "x")
    path.write_text(path.read_text().replace("{name: mine, source: x}", "qwen2.5-omni-7"))
    with pytest.raises(UserError, match=r"unknown model 'qwen2.5-omni-7'.*Did you mean 'qwen2.5-omni-7b'"):
        load_sweep(path)
    path.write_text(path.read_text().replace("[qwen2.5-omni-7]", "[{name: mine, model: any}]"))
    with pytest.raises(UserError, match="needs a `source`"):
        load_sweep(path)


def test_sparse_gates_are_kept_among_the_settings_in_the_store() -> None:
    assert SHIPPED
    spec = ModelSpec.model_validate({"name": "mine", "source": str(SHIPPED), "sparse_gates": True})
    assert model_settings(spec, SHIPPED)["sparse_gates"] == "yes"

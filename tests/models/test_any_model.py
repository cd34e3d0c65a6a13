"""A model that no registry knows, by a folder in the YAML: adapter, shape, dtype and plan told by its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3nTextConfig, Gemma3nTextModel

from esn_dist.cluster.prepare import prepare_model
from esn_dist.errors import UserError
from esn_dist.gates.count import Counter
from esn_dist.gates.find import NoGates, find_gates
from esn_dist.gates.positions import Positions
from esn_dist.models.anatomy import unsupported
from esn_dist.models.qwen2_5_omni import Qwen25Omni
from esn_dist.models.registry import load, spec_of
from esn_dist.models.source import adapter_of, dtype_of, local_shapes, package_folder, settings
from esn_dist.report.plan import plan_text
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
    assert (spec.model, adapter_of(spec, SHIPPED), dtype_of(spec, SHIPPED)) == ("any", "qwen2.5-omni", "float32")
    assert settings(spec, SHIPPED)["system_prompt"] == "You are a helpful assistant."
    assert isinstance(load(spec, "cpu"), Qwen25Omni)
    folder = StoreFolder(tmp_path / "store")
    create.create_root(folder, {})
    prepare_model(spec, plan(loaded), {}, folder, "cpu")
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
def test_the_adapter_is_told_by_the_architecture(tmp_path: Path, architecture: str, adapter: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture], "torch_dtype": "float16"}))
    spec = ModelSpec.model_validate({"name": "mine", "source": str(tmp_path)})
    assert adapter_of(spec, tmp_path) == adapter and dtype_of(spec, tmp_path) == "float16"
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert dtype_of(spec, tmp_path) == "bfloat16"


def test_a_plan_takes_the_shape_from_the_folder_or_says_that_it_is_unknown(tmp_path: Path) -> None:
    here, there = load_sweep(sweep(tmp_path, str(SHIPPED))), load_sweep(sweep(tmp_path, "someone/something"))
    assert local_shapes(here.models) == {"mine": (4, 256)} and local_shapes(there.models) == {}
    known, unknown = (forecast(s, None, local_shapes(s.models)) for s in (here, there))
    assert known.studies[0].bytes and known.studies[0].bytes > known.masks * 4 * 256
    assert unknown.bytes is unknown.studies[0].bytes is None
    assert "adds unknown GPU-hours, an unknown size" in plan_text(unknown)
    assert "store    unknown" in plan_text(unknown)


def test_deep_takes_a_hub_id_too_but_no_mere_model_type() -> None:
    spec = spec_of("someone/something")
    assert (spec.model, spec.source) == ("any", "someone/something")
    with pytest.raises(UserError, match="nothing can be loaded"):
        spec_of("voxtral")


def test_a_name_that_is_neither_registered_nor_has_a_source_is_a_mistake(tmp_path: Path) -> None:
    path = sweep(tmp_path, "x")
    path.write_text(path.read_text().replace("{name: mine, source: x}", "qwen2.5-omni-7"))
    with pytest.raises(UserError, match=r"unknown model 'qwen2.5-omni-7'.*Did you mean 'qwen2.5-omni-7b'"):
        load_sweep(path)
    path.write_text(path.read_text().replace("[qwen2.5-omni-7]", "[{name: mine, model: any}]"))
    with pytest.raises(UserError, match="needs a `source`"):
        load_sweep(path)


def gemma() -> Any:
    torch.manual_seed(0)
    config = Gemma3nTextConfig(
        vocab_size=30, vocab_size_per_layer_input=30, hidden_size=16, hidden_size_per_layer_input=4,
        intermediate_size=[40, 40], num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        num_kv_shared_layers=0, layer_types=["full_attention", "full_attention"], laurel_rank=2,
        activation_sparsity_pattern=[0.8, 0.8], pad_token_id=0,
    )  # fmt: skip
    return Gemma3nTextModel(config).eval()


def test_sparse_gates_are_refused_unless_asked_for_and_then_count_the_survivors() -> None:
    """Gemma-3n: the top-k subtracts a cutoff from u, so few gates of each position stay positive."""
    model = gemma()
    with pytest.raises(NoGates, match="80% of the gates"):
        find_gates(model)
    gates = find_gates(model, sparse=True)
    u: list[torch.Tensor] = []
    handles = [
        layer.mlp.gate_proj.register_forward_hook(lambda module, args, out: u.append(out[0])) for layer in model.layers
    ]
    counter = Counter(gates, 1, 1)
    with counter.attached(), torch.no_grad():
        counter.see(Positions.padded(torch.zeros(1, 9)))
        model(input_ids=torch.arange(1, 10)[None])
    for handle in handles:
        handle.remove()
    z = float(torch.distributions.Normal(0, 1).icdf(torch.tensor(0.8)))
    expected = [(one > one.mean(-1, keepdim=True) + z * one.std(-1, keepdim=True, unbiased=False)).sum(0) for one in u]
    K = counter.result()[0][0, 0]
    assert K.tolist() == [e.tolist() for e in expected]
    assert 0 < K.sum() < 0.4 * 2 * 40 * 9


def test_a_gemma_3n_is_refused_for_its_next_reason_even_where_its_sparse_gates_are_asked_for() -> None:
    config = gemma().config
    assert "sparse_gates: true" in str(unsupported(config))
    assert "token ids" in str(unsupported(config, sparse=True))
    config.hidden_size_per_layer_input = 0
    assert unsupported(config, sparse=True) is None


def test_asking_for_sparse_gates_is_kept_in_the_store() -> None:
    assert SHIPPED
    spec = ModelSpec.model_validate({"name": "mine", "source": str(SHIPPED), "sparse_gates": True})
    assert settings(spec, SHIPPED)["sparse_gates"] == "yes"

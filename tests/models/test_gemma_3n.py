"""Gemma-3n: its first layers' gates are sparse by construction. Refused by name with every reason, before weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma3nConfig, Gemma3nTextConfig, Gemma3nTextModel
from typer.testing import CliRunner

from esn_dist.cli import app
from esn_dist.errors import UserError
from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import UnsupportedGates, find_gates
from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.scale import scaled
from esn_dist.models.generic.adapter import GenericAudioLM
from esn_dist.models.loading import config_structure, spec_of
from esn_dist.models.placement import Placement
from esn_dist.models.resolve import gate_shape
from esn_dist.models.structure import unsupported

SPARSE, WINDOW, IDS = "in 1 layers 80% of the gates", "sliding window of 4", "reads the token ids"
TEXT: dict[str, Any] = {
    "vocab_size": 30, "vocab_size_per_layer_input": 30, "hidden_size": 16, "hidden_size_per_layer_input": 4,
    "intermediate_size": [40, 40], "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 8, "num_kv_shared_layers": 0, "laurel_rank": 2, "pad_token_id": 0, "sliding_window": 4,
    "activation_sparsity_pattern": [0.8, 0.0], "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip


@pytest.fixture
def decoder() -> Any:
    torch.manual_seed(0)
    return Gemma3nTextModel(Gemma3nTextConfig(**TEXT)).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without weights: what is said is said of its configuration alone."""
    config = {**Gemma3nConfig(text_config=TEXT).to_dict(), "architectures": ["Gemma3nForConditionalGeneration"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_refused_with_every_reason_and_asking_for_sparse_gates_takes_one_away(folder: Path, sparse: bool) -> None:
    raw = json.loads((folder / "config.json").read_text())
    structure = config_structure(raw, str(folder), sparse)
    reason = structure.reason or ""
    assert (structure.architecture, structure.supported) == ("Gemma3nForConditionalGeneration", False)
    assert [part in reason for part in (SPARSE, WINDOW, IDS)] == [not sparse, True, True]
    with pytest.raises(UserError, match="Gemma3nForConditionalGeneration is not supported") as error:
        gate_shape(spec_of(str(folder)).model_copy(update={"sparse_gates": sparse}), folder)
    assert reason in str(error.value)
    settings = {**GenericAudioLM.settings, **({"sparse_gates": "yes"} if sparse else {})}
    with pytest.raises(UserError, match="Gemma3nForConditionalGeneration: ") as error:
        GenericAudioLM.load(folder, torch.float32, Placement(), settings)
    assert reason in str(error.value)


@pytest.mark.parametrize("options", [[], ["--sparse-gates"]])
def test_doctor_says_so_and_loads_nothing(options: list[str]) -> None:
    done = CliRunner().invoke(app, ["doctor", "gemma3n", "--deep", "--json", *options])
    assert done.exit_code == 1, done.output
    facts = json.loads(done.stdout)
    assert not facts["supported"] and facts["deep"] == {} and facts["architecture"].startswith("Gemma3n")
    assert ("95% of the gates" in facts["reason"]) == (not options)


def test_without_the_other_reasons_sparse_gates_would_do(decoder: Any) -> None:
    config = decoder.config
    config.hidden_size_per_layer_input, config.layer_types = 0, ["full_attention"] * 2
    assert (unsupported(config) or "").startswith(SPARSE) and unsupported(config, sparse=True) is None
    config.activation_sparsity_pattern = [0.0, 0.0]
    assert unsupported(config) is None


def test_its_sparse_gates_are_refused_unless_asked_for_and_then_count_the_survivors(decoder: Any) -> None:
    """The top-k subtracts a cutoff from u, so few gates of each position stay positive; dense layers are as ever."""
    with pytest.raises(UnsupportedGates, match="layer 0: 80% of the gates"):
        find_gates(decoder)
    gates = find_gates(decoder, sparse=True)
    u: list[torch.Tensor] = []
    handles = [
        layer.mlp.gate_proj.register_forward_hook(lambda module, args, out: u.append(out[0]))
        for layer in decoder.layers
    ]
    counter = ActivationCounter(gates, 1, 1)
    with counter.hooks(), torch.no_grad():
        counter.begin_forward(TokenPositions.padded(torch.zeros(1, 9)))
        decoder(input_ids=torch.arange(1, 10)[None])
    for handle in handles:
        handle.remove()
    z = float(torch.distributions.Normal(0, 1).icdf(torch.tensor(0.8)))
    cutoff = u[0].mean(-1, keepdim=True) + z * u[0].std(-1, keepdim=True, unbiased=False)
    K = counter.result()[0][0, 0]
    assert K.tolist() == [(u[0] > cutoff).sum(0).tolist(), (u[1] > 0).sum(0).tolist()]
    assert 0 < K[0].sum() < 0.4 * 40 * 9


def test_a_sparse_gate_is_deactivated_as_any_other(decoder: Any) -> None:
    gates, ids = find_gates(decoder, sparse=True), torch.arange(1, 10)[None]
    member_LN = np.random.default_rng(0).random((2, 40)) < 0.4
    with torch.no_grad(), scaled(gates, member_LN, 0.0, "gate"):
        at_gate = decoder(input_ids=ids).last_hidden_state
    whole = decoder(input_ids=ids).last_hidden_state
    for layer, member_N in zip(decoder.layers, member_LN, strict=True):
        layer.mlp.down_proj.weight.data[:, member_N] = 0
    with torch.no_grad():
        assert torch.equal(at_gate, decoder(input_ids=ids).last_hidden_state)
    assert not torch.equal(at_gate, whole)

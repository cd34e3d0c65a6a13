"""What is read off a configuration is what the built model has; reading it needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AudioFlamingo3Config

from esn_dist.models.loading import config_structure, spec_of
from esn_dist.models.resolve import gate_shape
from esn_dist.models.tiny.architecture import TinySize, thinker_config, tokenizer


@pytest.mark.parametrize("layers", [2, 5])
def test_the_gates_read_off_equal_those_of_the_built_model(tmp_path: Path, layers: int) -> None:
    text = {"num_hidden_layers": layers, "intermediate_size": 48, "hidden_size": 32, "num_attention_heads": 4}
    omni = thinker_config(TinySize(hidden=32, layers=layers, gates=48), tokenizer()).to_dict()
    flamingo = AudioFlamingo3Config(text_config={"model_type": "qwen2", "num_key_value_heads": 2, **text}).to_dict()
    for name, config in {"Qwen2_5OmniThinker": omni, "AudioFlamingo3": flamingo}.items():
        config["architectures"] = [f"{name}ForConditionalGeneration"]
        (tmp_path / "config.json").write_text(json.dumps(config, default=str), encoding="utf-8")
        structure = config_structure(config, "here", sparse=False)
        assert gate_shape(spec_of(str(tmp_path)), tmp_path)[:2] == (structure.layers, structure.width) == (layers, 48)


def test_the_driver_waits_for_neither_torch_nor_transformers() -> None:
    code = "import sys, esn_dist.runner.driver; print({'torch', 'transformers', 'accelerate'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"

"""The full-size benchmark writes folders that load as the published ones would; tried at a thousandth of the size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from esn_dist.models.doctor import diagnose

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "full_size.py"
# How names on the hub begin.
NAMES = {
    "qwen2.5-omni-7b": {
        "thinker.audio_tower.",
        "thinker.visual.",
        "thinker.model.layers.",
        "thinker.lm_head.",
        "talker.",
    },
    "audio-flamingo-3": {
        "audio_tower.",
        "multi_modal_projector.",
        "language_model.model.layers.",
        "language_model.lm_head.",
    },
    "kimi-audio-7b": {"model.layers.", "model.mimo_layers.", "model.vq_adaptor.layers.", "mimo_output.", "lm_head."},
}


def script(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("model", NAMES)
def test_a_folder_is_written_under_the_hubs_names_and_found_whole(model: str, tmp_path: Path) -> None:
    assert script("write", model, str(tmp_path), "--small")["bytes"] > 0
    names = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert all(any(name.startswith(start) for name in names) for start in NAMES[model])
    if model == "kimi-audio-7b":
        assert len(names) == 453 - (28 - 3) * 13
    facts = diagnose(str(tmp_path))
    assert facts["supported"] and facts["layers"] == 3


def test_a_written_folder_is_measured(tmp_path: Path) -> None:
    script("write", "qwen2.5-omni-7b", str(tmp_path), "--small")
    facts = script("measure", "qwen2.5-omni-7b", str(tmp_path), "--utterances", "3")
    assert facts["answers_per_second"] > 0 and facts["deactivated_per_second"] > 0

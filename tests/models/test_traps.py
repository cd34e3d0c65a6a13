"""Traps that were met while running transformers and the published repositories, and that no other test covers."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from esn_dist.errors import UserError
from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.download import locate_checkpoint, package_folder
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.sweep.spec import ModelSpec

SHIPPED = package_folder("package:models/tiny/checkpoint")
# Of the repositories as published: Kimi's pickles of 19 GB and more, Flamingo's thinking adapter, and code.
UNWANTED = (
    "audio_detokenizer/model.pt", "vocoder/model.pt", "think/adapter_model.safetensors", "spk_dict.pt",
    "modeling_moonshot_kimia.py", "tokenization_kimia.py", "pytorch_model.bin",
)  # fmt: skip
WANTED = (
    "model-36-of-36.safetensors", "model.safetensors.index.json", "config.json", "tiktoken.model",
    "whisper-large-v3/model.safetensors", "chat_template.jinja", "merges.txt",
)  # fmt: skip


def test_a_launchers_environment_changes_nothing_of_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under WORLD_SIZE, `device_map="auto"` only logs a warning and leaves the map undone; ours is explicit."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert SHIPPED
    lm = Qwen25Omni.load(SHIPPED, torch.float32, Placement(), Qwen25Omni.settings)
    assert {str(p.device) for p in lm.thinker.parameters()} == {"cpu"}


@pytest.mark.parametrize("name", ["kimi-audio-7b", "audio-flamingo-3", "qwen2.5-omni-7b"])
def test_a_download_asks_for_no_pickle_no_code_and_no_thinking(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[dict[str, Any]] = []

    def downloaded(repository: str, **options: Any) -> str:
        requests.append(options)
        return str(SHIPPED)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", downloaded)
    locate_checkpoint(ModelSpec.model_validate(name))
    for options in requests:

        def kept(file: str, options: dict[str, Any] = options) -> bool:
            allowed = any(fnmatch(file, pattern) for pattern in options["allow_patterns"])
            return allowed and not any(fnmatch(file, pattern) for pattern in options["ignore_patterns"])

        assert all(kept(file) for file in WANTED) and not any(kept(file) for file in UNWANTED)
    assert len(requests) == (2 if name == "kimi-audio-7b" else 1), "Kimi-Audio's speech tokenizer is another repository"


def test_the_same_batch_in_bfloat16_gives_the_same_bits(tmp_path: Path) -> None:
    """A row in a batch may differ from the row alone by one step there; a plan's batch never from itself."""
    assert SHIPPED
    lm = Qwen25Omni.load(SHIPPED, torch.bfloat16, Placement(), Qwen25Omni.settings)
    waves = [np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32) for n in (4_000, 9_000, 16_000)]
    rows = [lm.encode_clip(wave) for wave in waves]
    assert {r.dtype for r in rows} == {torch.bfloat16}, "float32 features are cast to the model's"
    batch = pad(lm, [lm.prompt(len(r), "Which?") for r in rows], rows)
    once, again = (answer(lm, batch, torch.arange(20).expand(3, -1), 3) for _ in range(2))
    assert once.tokens == again.tokens and np.array_equal(once.logprob_BO, again.logprob_BO)


def test_memory_is_reckoned_in_the_dtype_that_is_loaded() -> None:
    """A model on the meta device is float32, and its own footprint twice what bfloat16 takes."""
    with torch.device("meta"):
        model = torch.nn.Linear(1_000, 1_000, bias=False)
    assert Placement("cpu", memory=2_000_000).device_map(model, torch.bfloat16) == {"": "cpu"}
    with pytest.raises(UserError, match=r"the weights need 4\.0 MB in float32 and cpu has 2\.0 MB"):
        Placement("cpu", memory=2_000_000).device_map(model, torch.float32)

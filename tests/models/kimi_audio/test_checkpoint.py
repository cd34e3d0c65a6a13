"""The published files load by their index, without what text does not need; what is wrong is said in one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, WhisperConfig

from esn_dist.errors import UserError
from esn_dist.gates.find import find_gates
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.kimi_audio.config import KimiConfig, Specials, SpeechTokenizerConfig
from esn_dist.models.kimi_audio.network import KimiNetwork
from esn_dist.models.placement import Placement

Write = Callable[..., Path]
SHARD = "model-1-of-35.safetensors"
PUBLISHED = {
    "hidden_size": 3584, "intermediate_size": 18944, "vocab_size": 168448, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "kimia_mimo_layers": 6, "kimia_adaptor_input_dim": 5120,
}  # fmt: skip


def load(folder: Path, **changes: str) -> KimiAudio:
    return KimiAudio.load(folder, torch.float32, Placement(), {**KimiAudio.settings, **changes})


@pytest.fixture(scope="module")
def full_size() -> KimiNetwork:
    """The published sizes, on the meta device."""
    text = Qwen2Config(
        vocab_size=168448, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, rms_norm_eps=1e-6, tie_word_embeddings=False,
    )  # fmt: skip
    sizes: Any = {"d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "num_mel_bins": 128}
    whisper = WhisperConfig(**sizes, encoder_layers=32)
    tokenizer = SpeechTokenizerConfig(WhisperConfig(**sizes, encoder_layers=16), 16, 16384, 4, 200)
    with torch.device("meta"):
        return KimiNetwork(KimiConfig(text, whisper, tokenizer, Specials(151643), 5120, 152064, 6))


def test_the_names_and_shapes_of_the_full_size_model_are_the_published_ones(
    full_size: KimiNetwork, official_names: Callable[[dict[str, Any]], dict[str, tuple[int, ...]]]
) -> None:
    published = official_names(PUBLISHED)
    assert len(published) == 453
    assert 2 * sum(math.prod(shape) for shape in published.values()) == 19_532_673_280  # the index's total size
    parameters = dict(full_size.named_parameters())
    wanted = {names[0]: tuple(parameters[name].shape) for name, place, names in full_size.stored_names() if not place}
    assert wanted.items() <= published.items()
    unused = published.keys() - wanted.keys()
    assert all("mimo" in name or name.endswith("rotary_emb.inv_freq") for name in unused)


def test_every_weight_is_loaded_where_its_name_says(checkpoint: Path, kimi: KimiAudio) -> None:
    stored = {name: value for path in checkpoint.glob("*.safetensors") for name, value in load_file(path).items()}
    ours = dict(kimi.network.named_parameters())
    assert torch.equal(ours["decoder.layers.2.mlp.down_proj.weight"], stored["model.layers.2.mlp.down_proj.weight"])
    assert torch.equal(ours["head.weight"], stored["lm_head.weight"])
    assert not torch.equal(ours["head.weight"], ours["decoder.embed_tokens.weight"]), "the head is not tied"
    assert torch.equal(ours["adaptor.4.weight"], stored["model.vq_adaptor.layers.4.weight"])


def test_the_speech_branch_has_no_gates_here(kimi: KimiAudio) -> None:
    assert [(gate.layer, gate.width) for gate in find_gates(kimi.decoder)] == [(0, 64), (1, 64), (2, 64)]


def test_the_speech_tokenizer_stays_in_float32(checkpoint: Path, kimi: KimiAudio, tools: Any) -> None:
    """In bfloat16 the nearest codebook row flips."""
    half = KimiAudio.load(checkpoint, torch.bfloat16, Placement(), KimiAudio.settings)
    assert {p.dtype for p in half.network.speech_tokenizer.parameters()} == {torch.float32}
    assert {p.dtype for p in half.network.decoder.parameters()} == {torch.bfloat16}
    features = kimi.preprocess(tools.wave(72_000))
    assert half.codes(features).tolist() == kimi.codes(features).tolist()
    assert half.encode_clip(tools.wave(16_000)).dtype == torch.bfloat16


def test_other_spellings_of_the_encoders_load_alike(tmp_path: Path, write: Write, kimi: KimiAudio, tools: Any) -> None:
    folder = write(tmp_path / "kimi")
    whisper, glm = folder / "whisper-large-v3" / "model.safetensors", folder / "glm-4-voice-tokenizer"
    save_file({n.removeprefix("model."): v for n, v in load_file(whisper).items()}, whisper)
    longer = {f"model.encoder.{n}" if n[:5] in ("conv1", "conv2", "layer", "embed") else n: v
              for n, v in load_file(glm / "model.safetensors").items()}  # fmt: skip
    longer["model.encoder.layers.4.fc1.bias"] = torch.zeros(64)  # the second layout has the layers above, too
    save_file(longer, glm / "model.safetensors")
    clip = tools.wave(16_000)
    np.testing.assert_array_equal(load(folder).encode_clip(clip), kimi.encode_clip(clip))


def change(path: Path, **values: Any) -> None:
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize("name", ["rope_theta", "num_base_tokens", "kimia_adaptor_input_dim"])
def test_a_missing_value_is_refused_not_guessed(tmp_path: Path, write: Write, name: str) -> None:
    folder = write(tmp_path / "kimi")
    change(folder / "config.json", **{name: None})
    with pytest.raises(UserError, match=f"'{name}' is missing"):
        load(folder)


def test_a_missing_shard_is_named(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "kimi")
    (folder / SHARD).unlink()
    with pytest.raises(UserError, match=f"{SHARD}: this shard"):
        load(folder)


def test_a_shard_that_was_cut_off_is_named_with_the_bytes_it_should_have(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "kimi")
    whole = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(whole[:-100])
    with pytest.raises(UserError, match=f"has {len(whole) - 100} bytes") as error:
        load(folder)
    assert error.value.expected and str(len(whole)) in error.value.expected


def test_the_odd_last_shard_is_not_forgotten(tmp_path: Path, write: Write) -> None:
    """Its name is of another pattern: who lists `*-of-35` misses the embeddings, the norm and the head."""
    folder = write(tmp_path / "kimi")
    (folder / "model-36-of-36.safetensors").unlink()
    with pytest.raises(UserError, match="model-36-of-36"):
        load(folder)


def test_weights_of_another_shape_are_named(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "kimi")
    change(folder / "config.json", intermediate_size=60)
    with pytest.raises(UserError, match=r"mlp\.\w+\.weight has shape"):
        load(folder)


def test_without_the_speech_tokenizer_the_command_that_gets_it_is_shown(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "kimi")
    (folder / "glm-4-voice-tokenizer").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="speech tokenizer") as error:
        load(folder)
    assert error.value.fix and error.value.fix.startswith("hf download THUDM/glm-4-voice-tokenizer")


def test_another_models_folder_is_refused(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "kimi")
    change(folder / "config.json", architectures=["Qwen2ForCausalLM"])
    with pytest.raises(UserError, match="Qwen2ForCausalLM") as error:
        load(folder)
    assert error.value.expected == "MoonshotKimiaForCausalLM"


def test_a_system_prompt_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="no system role"):
        load(checkpoint, system_prompt="You are kind.")


def test_stock_whisper_in_the_place_of_the_fine_tuned_one_is_noticed_by_its_size(tmp_path: Path, write: Write) -> None:
    folder = write(tmp_path / "kimi")
    change(folder / "whisper-large-v3" / "config.json", encoder_layers=3)
    with pytest.raises(UserError, match="weights are missing") as error:
        load(folder)
    assert "model.encoder.layers.2" in error.value.problem

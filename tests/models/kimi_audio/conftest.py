"""A small Kimi-Audio checkpoint under the official names, in the official folders, shards and oddities."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import WhisperFeatureExtractor

from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.placement import Placement

BASE, CODES = 256, 64
CONFIG: dict[str, Any] = {
    "architectures": ["MoonshotKimiaForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_moonshot_kimia.MoonshotKimiaForCausalLM"},
    "vocab_size": BASE + 421 + CODES + 8, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "rope_theta": 1e6, "rope_scaling": None, "max_position_embeddings": 8192, "tie_word_embeddings": False,
    "num_base_tokens": BASE, "kimia_token_offset": BASE + 421, "kimia_adaptor_input_dim": 64,
    "kimia_mimo_layers": 2, "kimia_mimo_transformer_from_layer_index": 1,
}  # fmt: skip
WHISPER: dict[str, Any] = {
    "model_type": "whisper", "d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "num_mel_bins": 128, "max_source_positions": 1500,
}  # fmt: skip
GLM: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 4, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "num_mel_bins": 128,
    "max_source_positions": 1500, "pooling_kernel_size": 4, "pooling_type": "avg", "pooling_position": 4,
    "quantize_position": 4, "quantize_vocab_size": CODES, "quantize_causal_block_size": 200,
    "encoder_causal_convolution": True, "encoder_causal_attention": False,
}  # fmt: skip


def main_names(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every name of the main checkpoint with its shape: 13 a layer, as recorded from the hub."""
    h, i, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    kv = h // config["num_attention_heads"] * config["num_key_value_heads"]

    def layer(prefix: str) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {
            "self_attn.rotary_emb.inv_freq": (h // config["num_attention_heads"] // 2,)
        }
        for part, rows in (("q", h), ("k", kv), ("v", kv)):
            shapes |= {f"self_attn.{part}_proj.weight": (rows, h), f"self_attn.{part}_proj.bias": (rows,)}
        shapes |= {"self_attn.o_proj.weight": (h, h), "mlp.gate_proj.weight": (i, h), "mlp.up_proj.weight": (i, h)}
        shapes |= {"mlp.down_proj.weight": (h, i), "input_layernorm.weight": (h,)}
        shapes |= {"post_attention_layernorm.weight": (h,)}
        return {f"{prefix}.{name}": shape for name, shape in shapes.items()}

    names = {"model.embed_tokens.weight": (v, h), "model.norm.weight": (h,), "lm_head.weight": (v, h)}
    names |= {"model.mimo_norm.weight": (h,), "mimo_output.weight": (v, h)}
    for index in range(config["num_hidden_layers"]):
        names |= layer(f"model.layers.{index}")
    for index in range(config["kimia_mimo_layers"]):
        names |= layer(f"model.mimo_layers.{index}")
    adaptor = {"0.weight": (h, config["kimia_adaptor_input_dim"]), "0.bias": (h,), "3.weight": (h, h), "3.bias": (h,)}
    adaptor |= {"4.weight": (h,), "4.bias": (h,)}
    return names | {f"model.vq_adaptor.layers.{name}": shape for name, shape in adaptor.items()}


def encoder_names(config: dict[str, Any], layers: int) -> dict[str, tuple[int, ...]]:
    """A Whisper encoder's names below its prefix."""
    d, f, m = config["d_model"], config["encoder_ffn_dim"], config["num_mel_bins"]
    names: dict[str, tuple[int, ...]] = {"conv1.weight": (d, m, 3), "conv1.bias": (d,), "conv2.weight": (d, d, 3)}
    names |= {"conv2.bias": (d,), "embed_positions.weight": (config["max_source_positions"], d)}
    for index in range(layers):
        layer: dict[str, tuple[int, ...]] = {"self_attn.k_proj.weight": (d, d)}
        for part in ("q_proj", "v_proj", "out_proj"):
            layer |= {f"self_attn.{part}.weight": (d, d), f"self_attn.{part}.bias": (d,)}
        for part in ("self_attn_layer_norm", "final_layer_norm"):
            layer |= {f"{part}.weight": (d,), f"{part}.bias": (d,)}
        layer |= {"fc1.weight": (f, d), "fc1.bias": (f,), "fc2.weight": (d, f), "fc2.bias": (d,)}
        names |= {f"layers.{index}.{name}": shape for name, shape in layer.items()}
    return names


def drawn(names: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Weights wide enough that codes and answers differ; norms near one."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, shape in names.items():
        value = 0.2 * torch.randn(shape, generator=generator)
        drawn[name] = value + 1 if "norm" in name and name.endswith("weight") else value
    return drawn


def write_checkpoint(folder: Path) -> Path:
    """The three folders; the main one in two shards and the oddly named third."""
    glm, whisper = folder / "glm-4-voice-tokenizer", folder / "whisper-large-v3"
    for place, config in ((folder, CONFIG), (whisper, WHISPER), (glm, GLM)):
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text(json.dumps(config))
    for place in (whisper, glm):
        WhisperFeatureExtractor(feature_size=128).save_pretrained(place)
    (folder / "tiktoken.model").write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(BASE)))
    weights = drawn(main_names(CONFIG), seed=1)
    odd = [n for n in weights if not n.startswith(("model.layers.", "model.mimo_layers.", "model.vq_adaptor."))]
    names = sorted(set(weights) - set(odd))
    shards = {"model-1-of-35.safetensors": names[::2], "model-2-of-35.safetensors": names[1::2]}
    shards["model-36-of-36.safetensors"] = odd
    for file, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / file)
    placed = {name: file for file, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    final = {"layer_norm.weight": (16,), "layer_norm.bias": (16,)}
    encoder = {f"model.encoder.{n}": s for n, s in (encoder_names(WHISPER, 2) | final).items()}
    unused = {"model.decoder.embed_tokens.weight": (5, 16), "proj_out.weight": (5, 16)}
    save_file(drawn(encoder | unused, seed=2), whisper / "model.safetensors")  # no metadata, as published
    codebook = {"codebook.weight": (CODES, 32), "embed_positions2.weight": (375, 32), "ema_count": (CODES,)}
    tokenizer = drawn(encoder_names(GLM, 4) | codebook, seed=3)
    tokenizer["embed_positions.weight"] *= 20  # else one code would be nearest everywhere
    save_file(tokenizer, glm / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return write_checkpoint


@pytest.fixture(scope="session")
def official_names() -> Callable[[dict[str, Any]], dict[str, tuple[int, ...]]]:
    return main_names


@pytest.fixture(scope="session")
def small_config() -> dict[str, Any]:
    return CONFIG


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only; tests that damage a checkpoint write their own."""
    return write_checkpoint(tmp_path_factory.mktemp("kimi") / "Kimi-Audio-7B-Instruct")


@pytest.fixture(scope="session")
def kimi(checkpoint: Path) -> KimiAudio:
    return KimiAudio.load(checkpoint, torch.float32, Placement(), KimiAudio.settings)

"""The tiny model is the real class: what is shipped loads like the 7B model, small, with one token per prompt word."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2_5OmniThinkerForConditionalGeneration

from esn_dist.models.loading import spec_of
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.resolve import gate_shape
from esn_dist.models.tiny.architecture import PROMPT_EMOTIONS, SYSTEM, TinySize, build, save, tokenizer
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.task.prompt import question

SHIPPED = Path(str(files("esn_dist"))) / "models" / "tiny" / "checkpoint"


def test_what_is_shipped_is_a_few_megabytes_of_safetensors() -> None:
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*"))
    assert size < 4 * 2**20
    assert not [path for path in SHIPPED.rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".py"}]


def test_the_shipped_checkpoint_has_the_registered_shape() -> None:
    entry = MODELS["tiny-qwen2.5-omni"]
    assert gate_shape(spec_of(str(SHIPPED)), SHIPPED)[:2] == (entry.layers, entry.width)


def test_transformers_loads_the_shipped_checkpoint_by_itself() -> None:
    loaded: Any = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(SHIPPED, output_loading_info=True)
    report = loaded[1]
    assert all(key.startswith("model.visual.") for key in report["missing_keys"])
    assert not report["unexpected_keys"]
    assert all(value.isfinite().all() for value in load_file(SHIPPED / "model.safetensors").values())


def test_every_word_and_digit_of_the_prompt_is_one_token() -> None:
    words = AutoTokenizer.from_pretrained(SHIPPED)
    text = question(PROMPT_EMOTIONS)
    pieces = words.tokenize(text)
    assert words.decode(words.encode(text, add_special_tokens=False)) == text
    plain = [piece.replace("Ġ", " ").replace("Ċ", "\n") for piece in pieces]
    assert "".join(plain) == text
    for emotion in PROMPT_EMOTIONS:
        assert len(words.encode(f" {emotion}", add_special_tokens=False)) == 1
    for word in (*SYSTEM.split(), *question(PROMPT_EMOTIONS).split()):
        assert any(word.strip(".:") in piece for piece in [*plain, *words.tokenize(SYSTEM)]), word
    assert all(len(words.encode(str(digit), add_special_tokens=False)) == 1 for digit in range(10))


def test_the_shipped_tokenizer_is_the_one_that_training_uses() -> None:
    shipped, trained = AutoTokenizer.from_pretrained(SHIPPED), tokenizer()
    assert shipped.get_vocab() == trained.get_vocab()
    assert shipped.chat_template == trained.chat_template


def test_the_same_seed_draws_the_same_weights_and_another_draws_others(tmp_path: Path) -> None:
    size = TinySize(hidden=32, gates=16, audio_width=32, audio_ffn=32)
    first, again, other = (build(size, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


@pytest.mark.parametrize("rows", [1, 7])
def test_a_saved_model_answers_as_the_one_in_memory_up_to_half_precision(tmp_path: Path, rows: int) -> None:
    model = build(TinySize(hidden=32, gates=16, audio_width=32, audio_ffn=32), seed=4)
    save(model, tmp_path)
    loaded = Qwen25Omni.load(tmp_path, torch.float32, Placement(), Qwen25Omni.settings)
    prompt = loaded.prompt(rows, question(PROMPT_EMOTIONS))
    embedded_BLD = loaded.embed(prompt, torch.ones(rows, 32))[None]
    with torch.inference_mode():
        ours = loaded.head(loaded.decoder(inputs_embeds=embedded_BLD).last_hidden_state)
        decoder = model.model.language_model
        theirs = model.lm_head(decoder(inputs_embeds=embedded_BLD).last_hidden_state)
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)

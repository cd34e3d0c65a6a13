"""Qwen2.5-Omni: inputs equal the official processor's bit for bit, and none of the model's traps is stepped into."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Qwen2_5OmniProcessor, Qwen2_5OmniThinkerForConditionalGeneration

from esn_dist.gates.find import find_gates
from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.placement import Placement
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni
from esn_dist.models.tiny.architecture import SYSTEM, TinySize, feature_extractor, thinker_config, tokenizer
from esn_dist.task.prompt import question
from esn_dist.terms import UNCOUNTED, Part
from esn_dist.testing.models import AudioLMConformance
from tests.models.hook_reference import assert_counts_equal_hook, assert_deactivation_equals_hook
from tests.models.synthetic_inputs import wave

# Seven lengths from 25 ms to 34 s: whole frames and broken ones, whole 2 s chunks and broken ones.
LENGTHS = (480, 4_000, 16_000, 16_001, 37_920, 64_159, 544_000)
TEXT = question(["anger", "joy", "neutral"])


class WithoutTorchvision(Qwen2_5OmniProcessor):
    """The official processor; its check that demands an image and a video processor is switched off."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> None:
        pass


@pytest.fixture(scope="module")
def processor() -> WithoutTorchvision:
    words = tokenizer()
    return WithoutTorchvision(  # type: ignore[no-untyped-call]
        None, None, feature_extractor(), words, chat_template=words.chat_template
    )


def official(processor: WithoutTorchvision, samples: int, text: str = TEXT) -> dict[str, Tensor]:
    """Input ids, features and masks of one clip and question, as the processor makes them."""
    conversation: Any = [
        {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
        {"role": "user", "content": [{"type": "audio", "audio": ""}, {"type": "text", "text": text}]},
    ]
    chat = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    return dict(processor(text=chat, audio=[wave(samples)], return_tensors="pt"))


@pytest.mark.parametrize("samples", LENGTHS)
def test_ids_and_mel_equal_the_official_processors(
    omni: Qwen25Omni, processor: WithoutTorchvision, samples: int
) -> None:
    theirs = official(processor, samples)
    mel_MF = omni.mel(wave(samples))
    valid = theirs["feature_attention_mask"][0].bool()
    assert mel_MF.shape[1] == valid.sum()
    assert torch.equal(mel_MF, theirs["input_features"][0][:, valid])
    prompt = omni.prompt(len(omni.encode_clip(wave(samples))), TEXT)
    assert prompt.ids_L.tolist() == theirs["input_ids"][0].tolist()


@pytest.mark.parametrize(("samples", "rows"), [(480, 1), (16_000, 25), (37_920, 59), (544_000, 850)])
def test_a_second_has_25_audio_tokens(omni: Qwen25Omni, samples: int, rows: int) -> None:
    assert len(omni.encode_clip(wave(samples))) == rows


class TestConformance(AudioLMConformance):
    adapter = Qwen25Omni
    too_short = (1, 160, 320)
    too_long = 300 * 16_000 + 1

    @pytest.fixture
    def lm(self, omni: Qwen25Omni) -> Qwen25Omni:
        return omni


def test_embeddings_do_not_depend_on_the_other_clips_of_a_batch(
    omni: Qwen25Omni, processor: WithoutTorchvision
) -> None:
    inputs = [official(processor, samples) for samples in LENGTHS]
    with torch.inference_mode():
        mel_MF = torch.cat([omni.mel(wave(samples)) for samples in LENGTHS], dim=1)
        frames = torch.stack([i["feature_attention_mask"].sum() for i in inputs])
        output = omni.tower(mel_MF, feature_lens=frames, aftercnn_lens=(frames - 1) // 2 + 1).last_hidden_state
    alone = torch.cat([omni.encode_clip(wave(samples)) for samples in LENGTHS])
    torch.testing.assert_close(alone, output, atol=2e-5, rtol=0)


def test_the_prompt_reads_as_the_template_and_marks_are_of_no_part(omni: Qwen25Omni) -> None:
    prompt = omni.prompt(2, "Which?")
    assert omni.tokenizer.decode(prompt.ids_L.tolist()) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|audio_bos|><|AUDIO|><|AUDIO|><|audio_eos|>Which?<|im_end|>\n<|im_start|>assistant\n"
    )
    special = {i for i, token in omni.tokenizer.added_tokens_decoder.items() if token.special}
    audio_L = prompt.ids_L == omni.placeholder
    assert ((prompt.part_L == Part.AUDIO) == audio_L).all()
    excluded = [i for i, part in zip(prompt.ids_L.tolist(), prompt.part_L.tolist(), strict=True) if part == UNCOUNTED]
    assert set(excluded) == special & set(prompt.ids_L.tolist()) - {omni.placeholder}


def test_positions_of_an_audio_prompt_are_a_plain_range(omni: Qwen25Omni, processor: WithoutTorchvision) -> None:
    thinker = thinker_of(omni)
    inputs = official(processor, 37_920)
    frames = inputs["feature_attention_mask"].sum(-1)
    positions_3BL, deltas = thinker.get_rope_index(
        inputs["input_ids"], attention_mask=inputs["attention_mask"], audio_seqlens=frames
    )
    plain_L = torch.arange(inputs["input_ids"].shape[1])
    assert torch.equal(positions_3BL[:, 0].long(), plain_L.expand(3, -1))
    assert deltas.item() == 0


def test_batched_cached_audio_gives_the_logits_and_the_answers_of_generate_on_single_items(
    omni: Qwen25Omni, processor: WithoutTorchvision
) -> None:
    texts = [TEXT, "Why?", question(["sadness", "joy", "anger", "surprise", "neutral"])]
    items = [(samples, texts[i % 3]) for i, samples in enumerate(LENGTHS)]
    rows = [omni.encode_clip(wave(samples)) for samples, _ in items]
    batch = pad(omni, [omni.prompt(len(r), text) for r, (_, text) in zip(rows, items, strict=True)], rows)
    every_token = torch.arange(omni.thinker.vocab_size).expand(len(items), -1)
    ours = answer(omni, batch, every_token, max_new_tokens=8)
    for index, (samples, text) in enumerate(items):
        tokens, logits_V = generated(omni, for_generate(processor, samples, text), 8)
        assert ours.tokens[index] == tokens
        expected = torch.as_tensor(logits_V).log_softmax(-1)
        torch.testing.assert_close(torch.as_tensor(ours.logprob_BO[index]), expected, atol=2e-5, rtol=0)
    assert len({tuple(t) for t in ours.tokens}) > 1, "equal answers show nothing"


SHORT = [(16_000, TEXT), (37_920, "Why?"), (544_000, question(["sadness", "joy"]))]


def test_counts_equal_a_naive_hooks(omni: Qwen25Omni, processor: WithoutTorchvision) -> None:
    special = {i for i, token in omni.tokenizer.added_tokens_decoder.items() if token.special}
    single = partial(for_generate, processor)
    assert_counts_equal_hook(omni, omni.thinker, single, SHORT, omni.placeholder, special)


def test_deactivation_equals_a_naive_hooks_under_generate(omni: Qwen25Omni, processor: WithoutTorchvision) -> None:
    assert_deactivation_equals_hook(omni, omni.thinker, partial(for_generate, processor), SHORT)


def test_state_left_by_another_call_changes_nothing(omni: Qwen25Omni, processor: WithoutTorchvision) -> None:
    """`rope_deltas` survives from the last top-level call: another batch size then crashes, or positions shift."""
    rows = [omni.encode_clip(wave(16_000)), omni.encode_clip(wave(4_000))]
    batch = pad(omni, [omni.prompt(len(r), TEXT) for r in rows], rows)
    options = torch.arange(10).expand(2, -1)
    before = answer(omni, batch, options, 4)
    omni_model = thinker_of(omni).model
    omni_model.rope_deltas = torch.full((3, 1), 17)
    after = answer(omni, batch, options, 4)
    omni_model.rope_deltas = None
    assert before.tokens == after.tokens
    assert np.array_equal(before.logprob_BO, after.logprob_BO)


def test_the_vocabulary_projection_reads_one_row_per_utterance(omni: Qwen25Omni) -> None:
    """This class has no `logits_to_keep`: through its top level a 16k-token batch would make 5 GB of logits."""
    rows = [omni.encode_clip(wave(16_000)), omni.encode_clip(wave(4_000))]
    batch = pad(omni, [omni.prompt(len(r), TEXT) for r in rows], rows)
    seen: list[int] = []
    handle = omni.head.register_forward_hook(lambda module, args, output: seen.append(args[0].numel() // 32))
    answer(omni, batch, torch.zeros(2, 1, dtype=torch.long), 3)
    handle.remove()
    assert seen and set(seen) == {2}


def test_stop_tokens_come_from_the_tokenizer_not_from_an_empty_generation_config(checkpoint: Path) -> None:
    (checkpoint / "generation_config.json").unlink(missing_ok=True)
    loaded = load(checkpoint)
    assert loaded.decode(list(loaded.stop_ids)) == ""
    assert [loaded.tokenizer.decode([i]) for i in loaded.stop_ids] == ["<|im_end|>", "<|endoftext|>"]


def test_the_hubs_layout_loads_without_talker_and_vision(checkpoint: Path) -> None:
    """The hub's file holds the whole model: `thinker.` before every name, a talker, and shards with an index."""
    plain = load(checkpoint)
    whole = load(as_on_the_hub(checkpoint))
    assert thinker_of(whole).model.language_model.layers[0].mlp.gate_proj.weight.shape == (64, 32)
    for (name, ours), (_, theirs) in zip(
        thinker_of(plain).named_parameters(), thinker_of(whole).named_parameters(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    assert not hasattr(thinker_of(whole).model, "visual")


def test_gates_of_the_vision_tower_are_not_mistaken_for_the_decoders(checkpoint: Path) -> None:
    thinker: Any = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(checkpoint)
    named = [name for name, _ in thinker.named_modules() if name.endswith(".mlp")]
    assert any(name.startswith("model.visual.") for name in named)  # same three projections
    assert [g.layer for g in find_gates(thinker.model.language_model)] == [0, 1, 2]


def test_a_bfloat16_model_takes_float32_audio(checkpoint: Path) -> None:
    half = Qwen25Omni.load(checkpoint, torch.bfloat16, Placement(), Qwen25Omni.settings)
    rows_RD = half.encode_clip(wave(16_000))
    assert rows_RD.dtype == torch.bfloat16 and rows_RD.isfinite().all()


def for_generate(processor: WithoutTorchvision, samples: int, text: str) -> dict[str, Tensor]:
    """The processor's inputs without what the model does not take."""
    return {k: v for k, v in official(processor, samples, text).items() if k != "num_audio_tokens"}


def thinker_of(omni: Qwen25Omni) -> Any:
    """transformers' whole model around the adapter's parts."""
    return omni.thinker


def generated(omni: Qwen25Omni, inputs: dict[str, Tensor], new: int) -> tuple[list[int], Tensor]:
    """Greedy tokens up to a stop token, and the first position's logits, by transformers' own generate."""
    output = thinker_of(omni).generate(
        **inputs, max_new_tokens=new, do_sample=False, repetition_penalty=1.0, eos_token_id=list(omni.stop_ids),
        pad_token_id=omni.stop_ids[1], output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    tokens = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    ends = [i for i, token in enumerate(tokens) if token in omni.stop_ids]
    return tokens[: ends[0]] if ends else tokens, output.logits[0][0]


def load(folder: Path) -> Qwen25Omni:
    return Qwen25Omni.load(folder, torch.float32, Placement(), Qwen25Omni.settings)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A thinker with its vision tower, saved as transformers saves it."""
    torch.manual_seed(3)
    size = TinySize(hidden=32, layers=3, gates=64, audio_width=32, audio_layers=2, audio_ffn=64)
    model: Any = Qwen2_5OmniThinkerForConditionalGeneration(thinker_config(size, tokenizer()))
    folder = tmp_path / "plain"
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    feature_extractor().save_pretrained(folder)
    return folder


def as_on_the_hub(plain: Path) -> Path:
    """The same weights under the names, in the nesting and the shards of the hub's repository."""
    folder = plain.parent / "hub"
    folder.mkdir()
    for path in plain.iterdir():
        if path.suffix in (".json", ".jinja") and path.name != "config.json":
            (folder / path.name).write_bytes(path.read_bytes())
    thinker = json.loads((plain / "config.json").read_text())
    whole = {"architectures": ["Qwen2_5OmniModel"], "model_type": "qwen2_5_omni", "thinker_config": thinker}
    (folder / "config.json").write_text(json.dumps(whole))
    weights = {f"thinker.{name}": value for name, value in load_file(plain / "model.safetensors").items()}
    weights["talker.thinker_to_talker_proj.weight"] = torch.zeros(2, 2)
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({n: weights[n] for n in held}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: file for file, held in shards.items() for n in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder

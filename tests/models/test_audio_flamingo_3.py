"""Audio Flamingo 3: inputs equal the official processor's bit for bit, answers equal `generate`'s."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    WhisperFeatureExtractor,
)

from esn_dist.errors import UserError
from esn_dist.gates.find import find_gates
from esn_dist.gates.scale import can_fold
from esn_dist.models.audio_flamingo_3.adapter import AudioFlamingo3
from esn_dist.models.placement import Placement
from esn_dist.task.prompt import question
from esn_dist.terms import UNCOUNTED, Part
from esn_dist.testing.models import AudioLMConformance
from tests.models.encoder_batches import (
    assert_nothing_waits_for_the_device,
    assert_other_clips_change_no_bit,
    embeds_in_fixed_batches,
)
from tests.models.hook_reference import ask, assert_counts_equal_hook, assert_deactivation_equals_hook

# From 30 ms to 34 s; 480160 samples end in a window of one frame, which adds no token.
LENGTHS = (480, 16_000, 16_001, 37_920, 480_000, 480_160, 544_000)
TEXT = question(["anger", "joy", "neutral"])
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<sound>"]
# As on the hub: a default system prompt, and the marker before the text, wherever the clip is in the list.
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'audio' %}<sound>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tools: Any) -> Any:
    return tools.byte_tokenizer(SPECIALS, TEMPLATE, "<|endoftext|>", "<|im_end|>")


@pytest.fixture(scope="module")
def flamingo(tools: Any, tokenizer: Any) -> AudioFlamingo3:
    torch.manual_seed(0)
    model = AudioFlamingo3ForConditionalGeneration(config(tokenizer)).eval()
    tools.redraw(model, 1)
    return AudioFlamingo3(model, tokenizer, extractor())


def config(tokenizer: Any) -> Any:
    return AudioFlamingo3Config(
        audio_config={
            "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32,
            "max_source_positions": 1500, "num_mel_bins": 128,
        },
        text_config={
            "model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0,
            "eos_token_id": 2,
        },
        audio_token_id=SPECIALS.index("<sound>"),
    )  # fmt: skip


def extractor() -> Any:
    return WhisperFeatureExtractor(feature_size=128, return_attention_mask=True)


@pytest.fixture(scope="module")
def official(tools: Any, tokenizer: Any) -> Any:
    """The official processor's inputs of one clip and question."""
    processor: Any = AudioFlamingo3Processor(extractor(), tokenizer, chat_template=TEMPLATE)

    def inputs(samples: int, text: str) -> dict[str, Tensor]:
        content = [{"type": "text", "text": text}, {"type": "audio", "audio": tools.wave(samples)}]
        return dict(
            processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=True, add_generation_prompt=True, return_dict=True
            )
        )

    return inputs


@pytest.mark.parametrize("samples", LENGTHS)
def test_ids_mel_and_mask_equal_the_official_processors(
    flamingo: AudioFlamingo3, official: Any, tools: Any, samples: int
) -> None:
    theirs = official(samples, TEXT)
    mel_WMF, mask_WF = flamingo.mel(tools.wave(samples))
    assert torch.equal(mel_WMF, theirs["input_features"])
    assert torch.equal(mask_WF.bool(), theirs["input_features_mask"].bool())
    prompt = flamingo.prompt(len(flamingo.encode_clip(tools.wave(samples))), TEXT)
    assert prompt.ids_L.tolist() == theirs["input_ids"][0].tolist()


@pytest.mark.parametrize(("samples", "rows"), [(16_000, 25), (37_920, 59), (480_160, 750), (544_000, 850)])
def test_a_second_has_25_audio_tokens(flamingo: AudioFlamingo3, tools: Any, samples: int, rows: int) -> None:
    assert len(flamingo.encode_clip(tools.wave(samples))) == rows


def test_embeddings_are_the_same_bits_in_any_encoder_batch_and_the_official_ones(flamingo: AudioFlamingo3) -> None:
    """Whole windows in groups of whole ones only, and together with windows that are mostly padding."""
    assert_other_clips_change_no_bit(flamingo, (480_000, 960_000, 16_000, 480_160), 2, 2e-5)


def test_no_layer_and_no_encoder_batch_waits_for_the_device(flamingo: AudioFlamingo3, tokenizer: Any) -> None:
    there: Any = deepcopy(flamingo.model).to("meta")
    lm = AudioFlamingo3(there, tokenizer, extractor())
    assert_nothing_waits_for_the_device(lm, (480_000, 16_000, 960_000), 2)


def test_a_batch_of_whole_windows_attends_under_a_mask_as_any_other(flamingo: AudioFlamingo3) -> None:
    """Without one a GPU takes another kernel: a window's bits would then depend on padding in its group."""
    masks: list[Any] = []
    handle = flamingo.tower.layers[0].register_forward_pre_hook(lambda module, args: masks.append(args[1]))
    for lengths in ([960_000], [480_000, 16_000]):
        embeds_in_fixed_batches(flamingo, lengths, 2)
    handle.remove()
    assert [(mask.shape, mask.dtype, mask.all().item()) for mask in masks] == [
        ((2, 1, 1, 1500), torch.bool, True), ((2, 1, 1, 1500), torch.bool, False),
    ]  # fmt: skip


def test_batched_cached_audio_gives_the_logits_and_the_answers_of_generate_on_single_items(
    flamingo: AudioFlamingo3, official: Any, tools: Any
) -> None:
    texts = [TEXT, "Why?", question(["sadness", "joy", "anger", "surprise", "neutral"])]
    items = [(samples, texts[i % 3]) for i, samples in enumerate(LENGTHS)]
    tools.assert_equals_generate(flamingo, flamingo.model, official, items)


def test_the_clip_comes_before_the_question_and_another_order_is_refused(
    flamingo: AudioFlamingo3, tokenizer: Any
) -> None:
    prompt = flamingo.prompt(2, "Which?")
    assert tokenizer.decode(prompt.ids_L.tolist()) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<sound><sound>Which?<|im_end|>\n<|im_start|>assistant\n"
    )
    special = np.isin(prompt.ids_L, [0, 1, 2])
    assert (prompt.part_L[special] == UNCOUNTED).all() and (prompt.part_L[~special] != UNCOUNTED).all()
    assert (prompt.part_L == Part.AUDIO).sum() == 2
    with pytest.raises(UserError, match="clip first"):
        AudioFlamingo3(flamingo.model, tokenizer, extractor(), {**AudioFlamingo3.settings, "order": "text, audio"})


class TestConformance(AudioLMConformance):
    adapter = AudioFlamingo3
    too_short = (160, 320)
    too_long = 600 * 16_000 + 1

    @pytest.fixture
    def lm(self, flamingo: AudioFlamingo3) -> AudioFlamingo3:
        return flamingo


def test_either_end_token_stops_an_answer(flamingo: AudioFlamingo3) -> None:
    assert flamingo.tokenizer.convert_ids_to_tokens(flamingo.stop_ids) == ["<|im_end|>", "<|endoftext|>"]


def test_the_hubs_sampling_and_repetition_penalty_change_no_answer(
    flamingo: AudioFlamingo3, official: Any, tools: Any
) -> None:
    """The hub's generation_config samples at T = 0.7 with a penalty of 1.05; nothing here reads it."""
    kept = flamingo.model.generation_config
    flamingo.model.generation_config = type(kept)(do_sample=True, temperature=0.7, top_k=20, repetition_penalty=1.05)
    try:
        sampled = tools.assert_equals_generate(flamingo, flamingo.model, official, [(16_000, TEXT), (37_920, "Why?")])
    finally:
        flamingo.model.generation_config = kept
    assert sampled == tools.assert_equals_generate(
        flamingo, flamingo.model, official, [(16_000, TEXT), (37_920, "Why?")]
    )


def test_a_saved_folder_loads_under_the_hubs_key_names(
    flamingo: AudioFlamingo3, tokenizer: Any, tools: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    flamingo.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    extractor().save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors")
    assert "language_model.model.layers.0.mlp.gate_proj.weight" in names
    assert "language_model.lm_head.weight" in names
    loaded = AudioFlamingo3.load(tmp_path, torch.float32, Placement(), AudioFlamingo3.settings)
    assert torch.equal(loaded.encode_clip(tools.wave(16_000)), flamingo.encode_clip(tools.wave(16_000)))
    assert [g.width for g in find_gates(loaded.decoder)] == [64, 64, 64]


def test_a_bfloat16_model_takes_float32_audio(
    flamingo: AudioFlamingo3, tokenizer: Any, tools: Any, tmp_path: Path
) -> None:
    """transformers' own forward raises on it in the first convolution."""
    flamingo.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    extractor().save_pretrained(tmp_path)
    half = AudioFlamingo3.load(tmp_path, torch.bfloat16, Placement(), AudioFlamingo3.settings)
    assert half.encode_clip(tools.wave(16_000)).dtype == torch.bfloat16


SHORT = [(16_000, TEXT), (37_920, "Why?"), (480_160, question(["sadness", "joy"]))]


def test_counts_equal_a_naive_hooks(flamingo: AudioFlamingo3, official: Any) -> None:
    sound, special = SPECIALS.index("<sound>"), range(len(SPECIALS))
    assert_counts_equal_hook(flamingo, flamingo.model, official, SHORT, sound, special)


def test_deactivation_equals_a_naive_hooks_under_generate(flamingo: AudioFlamingo3, official: Any) -> None:
    assert_deactivation_equals_hook(flamingo, flamingo.model, official, SHORT)


def test_batched_equals_single(flamingo: AudioFlamingo3) -> None:
    together = ask(flamingo, SHORT)
    for index, item in enumerate(SHORT):
        alone = ask(flamingo, [item])
        assert together.tokens[index] == alone.tokens[0]
        np.testing.assert_allclose(together.logprob_BO[index], alone.logprob_BO[0], atol=3e-5)


def test_weights_on_disk_give_the_same_bits(flamingo: AudioFlamingo3, tokenizer: Any, tmp_path: Path) -> None:
    flamingo.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    extractor().save_pretrained(tmp_path)
    offloaded = AudioFlamingo3.load(
        tmp_path, torch.float32, Placement(offload="disk", memory=180_000), AudioFlamingo3.settings
    )
    assert set(offloaded.model.hf_device_map.values()) == {"cpu", "disk"}
    assert not can_fold(find_gates(offloaded.decoder))
    answers, expected = ask(offloaded, SHORT), ask(flamingo, SHORT)
    assert answers.tokens == expected.tokens and np.array_equal(answers.logprob_BO, expected.logprob_BO)

"""A small but real Qwen2.5-Omni thinker: transformers' own class, tokenizer and features, under a million weights.

Knows neither training nor corpora; a folder written by `save` loads with `from_pretrained` like the 7B model's.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from esn_dist.task.prompt import question

SYSTEM = "You are a helpful assistant."
PROMPT_EMOTIONS = ("anger", "frustration", "joy", "neutral", "sadness", "surprise")
SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
)
# Qwen's own rule for cutting text into pieces: digits one by one, a word with the blank before it.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class TinySize:
    """Widths of the tiny model; `gates` is the paper's D_l, the same in every decoder layer."""

    hidden: int = 128
    layers: int = 4
    gates: int = 256
    heads: int = 4
    key_value_heads: int = 2
    audio_width: int = 128
    audio_layers: int = 1
    audio_ffn: int = 256


def build(size: TinySize, seed: int) -> Qwen2_5OmniThinkerForConditionalGeneration:
    """A freshly drawn float32 model without its vision tower; the same `seed` draws the same weights."""
    torch.manual_seed(seed)
    model: Any = Qwen2_5OmniThinkerForConditionalGeneration(thinker_config(size, tokenizer()))
    del model.model.visual
    _draw_audio_tower(model.model.audio_tower)
    model.float().eval()
    return cast(Qwen2_5OmniThinkerForConditionalGeneration, model)


def save(model: Qwen2_5OmniThinkerForConditionalGeneration, folder: Path) -> None:
    """Write weights (float16), configuration, tokenizer, chat template and feature extractor into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    half = {name: value.detach().cpu().half() for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=half)
    words.save_pretrained(folder)
    feature_extractor().save_pretrained(folder)
    stop = {"eos_token_id": words.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]), "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": False, **stop}, indent=2) + "\n")


def feature_extractor() -> WhisperFeatureExtractor:
    """Qwen2.5-Omni's log-mel features: 128 bins, 100 frames a second."""
    return WhisperFeatureExtractor(feature_size=128, chunk_length=300, return_attention_mask=True)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE without merges in which every piece of the paper's prompt is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIALS, *alphabet])}
    for piece in _prompt_pieces():
        vocabulary.setdefault(piece, len(vocabulary))
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    core.pre_tokenizer = _cutter()
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={
            "image_token": "<|IMAGE|>",
            "audio_token": "<|AUDIO|>",
            "video_token": "<|VIDEO|>",
            "vision_bos_token": "<|vision_bos|>",
            "vision_eos_token": "<|vision_eos|>",
            "audio_bos_token": "<|audio_bos|>",
            "audio_eos_token": "<|audio_eos|>",
        },
    )


def thinker_config(size: TinySize, words: PreTrainedTokenizerFast) -> Qwen2_5OmniThinkerConfig:
    """The configuration of `size` whose special token ids are those of `words`."""

    def id_of(name: str) -> int:
        return words.vocab[name]

    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "encoder_layers": size.audio_layers,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": size.audio_ffn,
            "d_model": size.audio_width,
            "n_window": 100,
            "output_dim": size.hidden,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": size.hidden,
            "fullatt_block_indexes": [0],
        },
        text_config={
            **_text_sizes(size),
            "vocab_size": len(words),
            "pad_token_id": id_of("<|endoftext|>"),
            "eos_token_id": id_of("<|im_end|>"),
            "tie_word_embeddings": False,
        },
        audio_token_index=id_of("<|AUDIO|>"),
        image_token_index=id_of("<|IMAGE|>"),
        video_token_index=id_of("<|VIDEO|>"),
        audio_start_token_id=id_of("<|audio_bos|>"),
        audio_end_token_id=id_of("<|audio_eos|>"),
        user_token_id=id_of("user"),
        tie_word_embeddings=False,
    )
    # Read by the model's own position function, though it is no declared field.
    config.vision_start_token_id = id_of("<|vision_bos|>")
    return config


def _text_sizes(size: TinySize) -> dict[str, Any]:
    """The decoder's sizes, with rotary sections for time, height and width as in the 7B model: 16, 24, 24 of 64."""
    half_head = size.hidden // size.heads // 2
    time = half_head // 4
    height = (half_head - time) // 2
    return {
        "hidden_size": size.hidden,
        "intermediate_size": size.gates,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "max_position_embeddings": 4096,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 1e6, "mrope_section": [time, height, half_head - time - height]
        },
    }  # fmt: skip


def _cutter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _prompt_pieces() -> list[str]:
    texts = ["system\n", "user\n", "assistant\n", SYSTEM, "0123456789", question(PROMPT_EMOTIONS), *PROMPT_EMOTIONS]
    return [piece for text in texts for piece, _ in _cutter().pre_tokenize_str(text)]


def _draw_audio_tower(tower: torch.nn.Module) -> None:
    """Redraw the tower with unit gain: the default spread of 0.02 lets the position code drown the speech."""
    with torch.no_grad():
        for name, value in tower.named_parameters():
            if value.dim() > 1 and "bos_eos" not in name:
                value.normal_(0.0, math.sqrt(1.0 / value[0].numel()))

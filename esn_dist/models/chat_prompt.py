"""A chat prompt around one clip: the template's ids, one placeholder per audio token, and the part of each position.

Knows templates only as the tokenizer applies them. Each adapter chooses its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from esn_dist.models.audio_lm import Prompt
from esn_dist.terms import UNCOUNTED, Part


def conversation(system_prompt: str, text: str, order: str) -> list[dict[str, Any]]:
    """The messages: a system turn unless its prompt is empty, and the user's turn with clip and `text` in `order`."""
    content = [{"type": "audio", "audio": ""}, {"type": "text", "text": text}]
    system = [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}] if system_prompt else []
    return [*system, {"role": "user", "content": content if order == "audio, text" else content[::-1]}]


def chat_prompt(tokenizer: Any, messages: list[dict[str, Any]], placeholder: int, audio_tokens: int) -> Prompt:
    """The prompt with the template's one audio placeholder repeated `audio_tokens` times.

    Raises:
        ValueError: the template makes no placeholder, or more than one.
    """
    chat: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(chat, add_special_tokens=False)
    if ids.count(placeholder) != 1:
        raise ValueError(f"the chat template makes {ids.count(placeholder)} audio placeholders of one clip")
    audio = ids.index(placeholder)
    repeated = [*ids[:audio], *[placeholder] * audio_tokens, *ids[audio + 1 :]]
    return prompt_of_ids(repeated, placeholder, special_ids(tokenizer))


def prompt_of_ids(ids: Sequence[int], placeholder: int, special: frozenset[int]) -> Prompt:
    """Ids with their parts: audio at placeholders, uncounted at special tokens, text elsewhere."""
    ids_L = np.array(ids, np.int64)
    part_L = np.where(np.isin(ids_L, list(special)), UNCOUNTED, int(Part.TEXT)).astype(np.int8)
    part_L[ids_L == placeholder] = Part.AUDIO
    return Prompt(ids_L, part_L)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that the tokenizer calls special: template markers, audio begin and end, padding."""
    added = tokenizer.added_tokens_decoder
    if callable(added):  # a method without an implementation in mistral-common's tokenizers
        return frozenset(tokenizer.all_special_ids)
    return frozenset(i for i, token in added.items() if token.special)

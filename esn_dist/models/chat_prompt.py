"""A chat prompt around one clip: the template's text as ids, the placeholder repeated once per audio row, parts named.

Knows templates only as the tokenizer applies them; which messages there are is each adapter's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from esn_dist.models.audio_lm import Prompt
from esn_dist.terms import UNCOUNTED, Part

Order = Literal["audio, text", "text, audio"]


def conversation(system_prompt: str, text: str, order: str) -> list[dict[str, Any]]:
    """A system turn (none where the prompt is empty) and the user's turn with the clip and `text` in `order`."""
    content = [{"type": "audio", "audio": ""}, {"type": "text", "text": text}]
    system = [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}] if system_prompt else []
    return [*system, {"role": "user", "content": content if order == "audio, text" else content[::-1]}]


def chat_prompt(tokenizer: Any, messages: list[dict[str, Any]], placeholder: int, rows: int) -> Prompt:
    """The prompt in which the template's one audio placeholder stands `rows` times.

    Raises:
        ValueError: the template makes another number of placeholders than one.
    """
    chat: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(chat, add_special_tokens=False)
    if ids.count(placeholder) != 1:
        raise ValueError(f"the chat template makes {ids.count(placeholder)} audio placeholders of one clip")
    at = ids.index(placeholder)
    return marked([*ids[:at], *[placeholder] * rows, *ids[at + 1 :]], placeholder, special_ids(tokenizer))


def marked(ids: Sequence[int], placeholder: int, special: frozenset[int]) -> Prompt:
    """Ids with their parts: audio at the placeholders, none at special tokens, text elsewhere."""
    ids_L = np.array(ids, np.int64)
    part_L = np.where(np.isin(ids_L, list(special)), UNCOUNTED, int(Part.TEXT)).astype(np.int8)
    part_L[ids_L == placeholder] = Part.AUDIO
    return Prompt(ids_L, part_L)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Template markers, audio begin and end, padding: whatever the tokenizer calls special."""
    added = tokenizer.added_tokens_decoder
    if callable(added):  # mistral-common's tokenizers have it as a method that is not implemented
        return frozenset(tokenizer.all_special_ids)
    return frozenset(i for i, token in added.items() if token.special)

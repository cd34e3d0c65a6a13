"""Token ids that a checkpoint names in varying places: the audio placeholder and the tokens that end an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from esn_dist.errors import UserError


def placeholder_id(config: Any, processor: Any) -> int:
    """The placeholder of one audio token, from the configuration or the processor.

    Raises:
        UserError: neither names it.
    """
    for owner in (config, getattr(config, "audio_config", None), processor):
        for name in ("audio_token_id", "audio_token_index"):
            if isinstance(token := getattr(owner, name, None), int):
                return token
    raise UserError(f"{type(config).__name__} names no audio placeholder", expected="audio_token_id")


def stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every end token that the checkpoint names; any of them ends an answer.

    Raises:
        UserError: none is named, so that every answer would run to its limit.
    """
    named = (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        tokenizer.eos_token_id,
    )
    tokens = [i for ids in named for i in (ids if isinstance(ids, Iterable) else [ids]) if i is not None]
    if not tokens:
        raise UserError("the checkpoint names no end token", expected="eos_token_id in generation_config.json")
    return tuple(dict.fromkeys(tokens))


def audio_span(audio_L: Tensor) -> tuple[int, int]:
    """First and last audio position of a prompt.

    Raises:
        ValueError: the audio positions are not one unbroken span, or there are none.
    """
    index_R = audio_L.nonzero().flatten()
    if not len(index_R) or int(index_R[-1] - index_R[0]) + 1 != len(index_R):
        raise ValueError("the processor does not make one unbroken span of audio placeholders of one clip")
    return int(index_R[0]), int(index_R[-1])

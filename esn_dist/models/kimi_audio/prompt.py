"""A question as Kimi-Audio takes it: two parallel streams of ids, one of audio and one of text.

Everywhere one of the two is blank. So a prompt is one stream of the ids that speak, and the blank's embedding is added
at every position. Knows ids, no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from esn_dist.models.audio_lm import Prompt
from esn_dist.models.kimi_audio.config import Specials
from esn_dist.terms import UNCOUNTED, Part


class Streams(NamedTuple):
    """Two streams of equal length, and where the continuous features are added."""

    audio: list[int]
    text: list[int]
    continuous: list[bool]


def streams(specials: Specials, text: Sequence[int], codes: Sequence[int], order: str) -> Streams:
    """One user turn and the start of the answer, in the official layout.

    Args:
        codes: token ids of the clip's codes.
        order: "text, audio" (the official one), or "audio, text", which gets no token that asks for text.
    """
    s = specials
    spoken = [s.media_begin, *codes, s.media_end]
    messages = {"audio": spoken, "text": [s.blank] * len(text)}
    first, last = order.split(", ")
    wanted = [s.answer_in_text] if last == "audio" else []
    audio = [s.user, *messages[first], *messages[last], *wanted, s.message_end, s.assistant]
    written = [s.blank] * len(audio)
    at = 1 if first == "text" else 1 + len(spoken)
    written[at : at + len(text)] = text
    begin = audio.index(s.media_begin) + 1
    return Streams(audio, written, [begin <= i < begin + len(codes) for i in range(len(audio))])


def merged(specials: Specials, both: Streams) -> Prompt:
    """The ids that speak, with their parts: codes are audio, written words text, markers none."""
    audio, text, heard = (np.array(stream) for stream in both)
    assert ((audio == specials.blank) | (text == specials.blank)).all()
    ids_L = np.where(audio == specials.blank, text, audio).astype(np.int64)
    part_L = np.where(heard, int(Part.AUDIO), np.where(ids_L < specials.base, int(Part.TEXT), UNCOUNTED))
    return Prompt(ids_L, part_L.astype(np.int8))

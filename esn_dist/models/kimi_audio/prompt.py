"""A prompt for Kimi-Audio: two parallel streams of ids, one of audio and one of text.

At every position one of the two is blank. So a prompt is one stream of the ids that are not blank, and the embedding of
the blank is added at every position. Knows ids, no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from esn_dist.models.audio_lm import Prompt
from esn_dist.models.kimi_audio.config import Specials
from esn_dist.terms import UNCOUNTED, Part


class Streams(NamedTuple):
    """Two streams of equal length, and the positions at which continuous features are added."""

    audio: list[int]
    text: list[int]
    continuous: list[bool]


def streams(specials: Specials, text: Sequence[int], codes: Sequence[int], order: str) -> Streams:
    """One user turn and the start of the answer, in the official layout.

    Args:
        codes: token ids of the clip's codes.
        order: "text, audio" (the official one), or "audio, text", which has no token that asks for text.
    """
    s = specials
    clip = [s.media_begin, *codes, s.media_end]
    # 1. The audio stream: the clip, blanks where the text is, and markers.
    messages = {"audio": clip, "text": [s.blank] * len(text)}
    first, last = order.split(", ")
    request = [s.answer_in_text] if last == "audio" else []
    audio_stream = [s.user, *messages[first], *messages[last], *request, s.message_end, s.assistant]
    # 2. The text stream: blanks everywhere but at the text.
    text_stream = [s.blank] * len(audio_stream)
    start = 1 if first == "text" else 1 + len(clip)
    text_stream[start : start + len(text)] = text
    # 3. Continuous features are added at the codes.
    begin = audio_stream.index(s.media_begin) + 1
    return Streams(audio_stream, text_stream, [begin <= i < begin + len(codes) for i in range(len(audio_stream))])


def merge_streams(specials: Specials, streams: Streams) -> Prompt:
    """The ids that are not blank, with their parts: codes are audio, base tokens text, markers uncounted."""
    audio_L, text_L, continuous_L = (np.array(stream) for stream in streams)
    assert ((audio_L == specials.blank) | (text_L == specials.blank)).all()
    ids_L = np.where(audio_L == specials.blank, text_L, audio_L).astype(np.int64)
    part_L = np.where(continuous_L, int(Part.AUDIO), np.where(ids_L < specials.base, int(Part.TEXT), UNCOUNTED))
    return Prompt(ids_L, part_L.astype(np.int8))

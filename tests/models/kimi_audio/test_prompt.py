"""The two streams equal the ids recorded from the official prompt code; text is cut and joined as officially."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from esn_dist.errors import UserError
from esn_dist.inference.answer import answer
from esn_dist.inference.batches import pad
from esn_dist.models.kimi_audio.adapter import KimiAudio
from esn_dist.models.kimi_audio.audio import tokenizer_mel
from esn_dist.models.kimi_audio.config import Specials
from esn_dist.models.kimi_audio.prompt import merge_streams, streams
from esn_dist.models.kimi_audio.tokens import TextTokens, _pattern
from esn_dist.terms import UNCOUNTED, Part

REAL = Specials(151643)
BLANK = 151666


def test_audio_alone_gives_the_recorded_ids() -> None:
    codes = [152064 + code for code in (0, 1, 16383)]
    built = streams(REAL, [], codes, "text, audio")
    assert built.audio == [151670, 151661, 152064, 152065, 168447, 151663, 151675, 151645, 151671]
    assert built.text == [BLANK] * 9
    assert built.continuous == [False, False, True, True, True, False, False, False, False]


def test_text_before_audio_is_the_official_order() -> None:
    built = streams(REAL, [108386, 11], [152070], "text, audio")
    assert built.audio == [151670, BLANK, BLANK, 151661, 152070, 151663, 151675, 151645, 151671]
    assert built.text == [BLANK, 108386, 11, *[BLANK] * 6]


def test_after_text_no_token_asks_for_text() -> None:
    """The official code adds it only where the turn's last message is audio: another, weaker prompt."""
    built = streams(REAL, [108386], [152070], "audio, text")
    assert built.audio == [151670, 151661, 152070, 151663, BLANK, 151645, 151671]
    assert built.text == [BLANK, BLANK, BLANK, BLANK, 108386, BLANK, BLANK]


@pytest.mark.parametrize("order", ["text, audio", "audio, text"])
def test_parts_are_codes_and_words_and_nothing_else(order: str) -> None:
    prompt = merge_streams(REAL, streams(REAL, [5, 6, 7], [152064, 168447], order))
    parts = dict(zip(prompt.ids_L.tolist(), prompt.part_L.tolist(), strict=True))
    assert {i for i, part in parts.items() if part == Part.AUDIO} == {152064, 168447}
    assert {i for i, part in parts.items() if part == Part.TEXT} == {5, 6, 7}
    assert all(part == UNCOUNTED for i, part in parts.items() if 151643 <= i < 152064)


def test_special_ids_of_the_published_model() -> None:
    s = REAL
    assert (s.message_end, s.media_begin, s.media_end, s.blank) == (151645, 151661, 151663, 151666)
    assert (s.text_end, s.user, s.assistant, s.answer_in_text) == (151667, 151670, 151671, 151675)


def test_only_text_end_stops_an_answer(kimi: KimiAudio, tools: Any) -> None:
    """Neither [EOS] nor the end of a message does; the head is bent so that each is said in turn."""
    assert kimi.stop_ids == (256 + 24,)
    rows = [kimi.encode_clip(tools.wave(16_000))]
    batch = pad(kimi, [kimi.prompt(13, "Which?")], rows)
    for token, expected in ((256 + 1, 4), (256 + 2, 4), (256 + 9, 4), (256 + 24, 0)):
        bent = partial(_raise, token)
        handle = kimi.head.register_forward_hook(bent)
        assert len(answer(kimi, batch, torch.tensor([[1]]), 4).tokens[0]) == expected
        handle.remove()


def _raise(token: int, module: Any, args: Any, logits: torch.Tensor) -> torch.Tensor:
    return logits.index_fill(-1, torch.tensor(token), 1e4)


def test_the_speech_tokenizer_gets_a_clip_at_its_own_length(kimi: KimiAudio, tools: Any) -> None:
    mel_SMF, valid_SF = tokenizer_mel(kimi.extractors[0], [tools.wave(48_001)])
    assert mel_SMF.shape == (1, 128, 38 * 8)  # 38 codes begun, not the 375 of 30 s
    assert valid_SF.sum() == 301


def test_characters_that_span_tokens_survive_and_markers_are_plain_text(checkpoint: Path) -> None:
    tokens = TextTokens(checkpoint, 256)
    text = "Freude → 你好 <|im_media_begin|>\n12"
    assert tokens.encode(text) == list(text.encode())
    assert tokens.decode(tokens.encode(text)) == text
    assert tokens.decode([0x31, 256 + 24, 700, 0x32]) == "12"
    assert [tokens.encode(str(n)) for n in (1, 9)] == [[0x31], [0x39]]


def test_without_a_pattern_of_its_own_the_tokenizer_takes_qwen2s(checkpoint: Path) -> None:
    assert _pattern(checkpoint) == PRETOKENIZE_REGEX
    assert r"\p{N}|" in PRETOKENIZE_REGEX, "digits one by one, so that option numbers are single tokens"


@pytest.mark.parametrize("content", [b"", b"YQ== 0\n", b"what is this"])
def test_another_file_is_no_text_tokenizer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiktoken.model").write_bytes(content)
    with pytest.raises(UserError, match=r"tiktoken\.model"):
        TextTokens(tmp_path, 256)


def test_merges_are_read_from_the_file(tmp_path: Path) -> None:
    words = [bytes([i]) for i in range(256)] + [b"jo", b"joy"]
    (tmp_path / "tiktoken.model").write_bytes(b"\n".join(base64.b64encode(w) + b" %d" % i for i, w in enumerate(words)))
    assert TextTokens(tmp_path, 258).encode("joy jo") == [257, 0x20, 256]

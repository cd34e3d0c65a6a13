"""Kimi-Audio's text tokens: a tiktoken file with Qwen2's pattern, read without remote code.

Special markers in a text are plain text. Only ids of the base vocabulary are text. As in the official code, all others
are left out when an answer is decoded.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import tiktoken
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from esn_dist.errors import UserError

FILE = "tiktoken.model"


class TextTokens:
    """Encodes and decodes plain text; called like the tokenizers of transformers."""

    def __init__(self, folder: Path, base: int) -> None:
        ranks = _read_ranks(folder / FILE)
        if len(ranks) != base:
            raise UserError(f"{len(ranks)} tokens", where=str(folder / FILE), expected=f"{base}, as config.json says")
        self.base = base
        self._encoding = tiktoken.Encoding(
            "kimi-audio", pat_str=_pattern(folder), mergeable_ranks=ranks, special_tokens={}
        )

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids of `text`; this tokenizer adds no special tokens."""
        return self._encoding.encode_ordinary(text)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of the base tokens among `ids`, decoded together, since a character may span several tokens."""
        joined = self._encoding.decode_bytes([i for i in ids if i < self.base])
        return joined.decode("utf-8", errors="replace")


def _pattern(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("pat_str", PRETOKENIZE_REGEX))
    except FileNotFoundError:
        return PRETOKENIZE_REGEX


def _read_ranks(path: Path) -> dict[bytes, int]:
    """`base64 rank` a line."""
    try:
        lines = path.read_bytes().splitlines()
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    except FileNotFoundError:
        raise UserError("the text tokenizer is missing", where=str(path), fix="download it again") from None
    except ValueError as error:
        raise UserError(f"is no tiktoken file: {error}", where=str(path), fix="download it again") from None

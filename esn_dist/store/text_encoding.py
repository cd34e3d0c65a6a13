"""Texts as zero-padded UTF-8 bytes, the one form of string that every Zarr reader knows.

Knows nothing of the tables that hold the texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def text_width(texts: Sequence[str]) -> int:
    """Bytes that hold the longest of `texts`, at least 1."""
    return max((len(text.encode()) for text in texts), default=1) or 1


def encode_texts(texts: Sequence[str], width: int) -> Bytes:
    """`texts` as `[text, byte]`, zero-padded. Raises `ValueError` where one is longer than `width` bytes."""
    for text in texts:
        if len(text.encode()) > width:
            raise ValueError(f"{text!r} is longer than the {width} bytes that the store has for it")
        if text.endswith("\0"):
            raise ValueError(f"{text!r} ends with a zero byte, which marks the end of a text")
    return encode_cut_texts(texts, width)[0]


def encode_cut_texts(texts: Sequence[str], width: int) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """`texts` as `[text, byte]`, cut at a character's border, and `truncated[text]`: which of them were cut.

    For answers of models, which may hold anything: zero characters become U+FFFD, lone surrogates `?`.
    """
    whole = [text.replace("\0", "\ufffd").encode(errors="replace") for text in texts]
    cut = [text[:width].decode(errors="ignore").encode() if len(text) > width else text for text in whole]
    # NumPy pads with zeros.
    encoded = np.array(cut, dtype=f"S{width}").view(np.uint8).reshape(len(texts), width)
    return encoded, np.array([len(text) > width for text in whole], dtype=np.bool_)


def decode_texts(encoded: Bytes) -> tuple[str, ...]:
    """The texts of `[text, byte]`."""
    rows, width = encoded.shape
    flat = np.ascontiguousarray(encoded).reshape(-1).view(f"S{width}") if rows else ()
    return tuple(bytes(text).decode() for text in flat)

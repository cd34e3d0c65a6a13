"""Pieces of many clips through an encoder in groups of one size: what it makes of a piece does not hang on neighbours.

A kernel is chosen by the shapes it is given, and each kernel rounds in its own way. Groups all have one shape (the last
one is filled up) and one kind of attention mask, so every piece meets the same kernels, whoever stands beside it.
Knows no model. Shape suffixes: G pieces of a group, P positions of a piece, L = G·P, H heads, K head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

Piece = TypeVar("Piece")

# Names of kinds of attention. transformers splits packed pieces for any but "flash" kinds, which costs a wait for the
# device in every layer.
PACKED = "flash_of_equal_pieces"
PADDED = "sdpa_under_a_mask"


def encode_in_fixed_batches(
    clips: Iterable[Sequence[Piece]], size: int, encode: Callable[[Sequence[Piece]], Sequence[Tensor]]
) -> list[list[Tensor]]:
    """Rows of each piece, clip by clip.

    A group is encoded as soon as it is full: `clips` may still be in the making.

    Args:
        size: pieces of a group.
        encode: rows of each piece of a group; only ever called with `size` pieces.
    """
    lengths, waiting, rows = list[int](), list[Piece](), list[Tensor]()
    for pieces in clips:
        lengths.append(len(pieces))
        waiting += pieces
        while len(waiting) >= size:
            rows += encode(waiting[:size])
            del waiting[:size]
    if waiting:
        rows += encode([*waiting, *waiting[-1:] * (size - len(waiting))])  # nobody reads the copies
    ready = iter(rows)
    return [[next(ready) for _ in range(length)] for length in lengths]


@contextmanager
def attention_implementation(config: Any, how: str) -> Iterator[None]:
    """While it lasts, modules of transformers' configuration `config` attend as the registered kind `how` does."""
    before = config._attn_implementation
    config._attn_implementation = how
    try:
        yield
    finally:
        config._attn_implementation = before


def _packed(
    module: nn.Module, query_1HLK: Tensor, key_1HLK: Tensor, value_1HLK: Tensor, attention_mask: None, *,
    scaling: float, seen_G11P: Tensor, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Pieces of P positions one after the other, each of which attends to what is `seen` of itself."""
    pieces = len(seen_G11P)
    query, key, value = (
        x_1HLK[0].unflatten(1, (pieces, -1)).transpose(0, 1) for x_1HLK in (query_1HLK, key_1HLK, value_1HLK)
    )
    mixed_GHPK = scaled_dot_product_attention(query, key, value, attn_mask=seen_G11P, scale=scaling)
    return mixed_GHPK.transpose(1, 2), None


def _mask(attention_mask: Tensor, **_: Any) -> Tensor:
    """Keys that are seen [G, 1, 1, P]. transformers' own leaves the mask out where a whole group has no padding, so
    that another kernel would serve; and it asks the device whether it has."""
    return attention_mask[:, None, None, :]


AttentionInterface.register(PACKED, _packed)
AttentionInterface.register(PADDED, sdpa_attention_forward)
AttentionMaskInterface.register(PADDED, _mask)

"""Encodes chunks of many clips in batches of one fixed size: a chunk's output does not depend on its batch.

Kernels are chosen by input shapes, and each kernel rounds differently. Here all batches have the same shape (the last
one is filled up) and the same form of attention mask. So every chunk runs through the same kernels, whichever chunks
share its batch. Knows no model. Shape letters as in `esn_dist.models`, with L = C·P.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

Chunk = TypeVar("Chunk")

# Names of attention implementations in transformers' registry. Unless the name has "flash" in it, transformers splits
# concatenated chunks, which costs a wait for the device in every layer.
EQUAL_CHUNKS = "flash_of_equal_chunks"
MASKED = "sdpa_with_a_mask"


def encode_in_fixed_batches(
    clips: Iterable[Sequence[Chunk]], size: int, encode: Callable[[Sequence[Chunk]], Sequence[Tensor]]
) -> list[list[Tensor]]:
    """Audio embeddings [R, D] of each chunk, clip by clip.

    Args:
        clips: chunks of each clip. A batch is encoded as soon as it is full, while `clips` may still be in the making.
        size: chunks of a batch.
        encode: embeddings of each chunk of a batch; only ever called with `size` chunks.
    """
    lengths, pending, embeds = list[int](), list[Chunk](), list[Tensor]()
    for chunks in clips:
        lengths.append(len(chunks))
        pending += chunks
        while len(pending) >= size:
            embeds += encode(pending[:size])
            del pending[:size]
    if pending:
        embeds += encode([*pending, *pending[-1:] * (size - len(pending))])  # the copies' embeddings are dropped
    remaining = iter(embeds)
    return [[next(remaining) for _ in range(length)] for length in lengths]


@contextmanager
def attention_implementation(config: Any, name: str) -> Iterator[None]:
    """Set the attention implementation of transformers' configuration `config` inside the context."""
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend_equal_chunks(
    module: nn.Module, query_1HLK: Tensor, key_1HLK: Tensor, value_1HLK: Tensor, attention_mask: None, *,
    scaling: float, valid_C11P: Tensor, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention inside each of C concatenated chunks, to its valid positions."""
    chunks = len(valid_C11P)
    query, key, value = (
        x_1HLK[0].unflatten(1, (chunks, -1)).transpose(0, 1) for x_1HLK in (query_1HLK, key_1HLK, value_1HLK)
    )
    mixed_CHPK = scaled_dot_product_attention(query, key, value, attn_mask=valid_C11P, scale=scaling)
    return mixed_CHPK.transpose(1, 2), None


def _mask(attention_mask: Tensor, **_: Any) -> Tensor:
    """The mask of keys [C, 1, 1, P], also where a batch has no padding.

    transformers' own function asks the device whether there is padding, and drops the mask where there is none. Then
    another kernel would serve.
    """
    return attention_mask[:, None, None, :]


AttentionInterface.register(EQUAL_CHUNKS, _attend_equal_chunks)
AttentionInterface.register(MASKED, sdpa_attention_forward)
AttentionMaskInterface.register(MASKED, _mask)

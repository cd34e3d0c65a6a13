"""Triton kernels of a decoder layer's element-wise operations; each reads and writes its data once.

Their references are the functions of the same names in `elementwise_ops.py`. Imported only on a GPU. The same
operations compiled by torch for varying lengths reached half of the memory's bandwidth or less (docs/performance.md).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from esn_dist.inference.packed.cache import PackedLayout

ROPE_WARPS = 4


def rms_norm(x_TD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    out_TD = torch.empty_like(x_TD)
    tokens, width = x_TD.shape
    with torch.cuda.device(x_TD.device):
        _rms_norm[(tokens,)](x_TD, weight_D, out_TD, width, eps, triton.next_power_of_2(width), num_warps=8)
    return out_TD


def apply_rope_and_write_kv(
    qkv_TQ: Tensor, cos_sin_2SW: Tensor, layout: PackedLayout, kv_cache: Tensor, heads: int, kv_heads: int
) -> Tensor:
    width = cos_sin_2SW.shape[-1]
    tokens = len(qkv_TQ)
    q_THW = qkv_TQ.new_empty(tokens, heads, width)
    cos_SW, sin_SW = cos_sin_2SW
    keys, values = kv_cache[0], kv_cache[1]
    with torch.cuda.device(qkv_TQ.device):
        _apply_rope_and_write_kv[(tokens,)](
            qkv_TQ, q_THW, keys, values, cos_SW, sin_SW, layout.position_T, layout.slot_T, qkv_TQ.stride(0),
            heads, kv_heads, triton.next_power_of_2(max(heads, 1)), triton.next_power_of_2(kv_heads), width // 2,
            num_warps=ROPE_WARPS,
        )  # fmt: skip
    return q_THW


@triton.jit  # type: ignore[untyped-decorator]
def _rms_norm(x_ptr, weight_ptr, out_ptr, width, eps, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    mask = column < width
    x = tl.load(x_ptr + token * width + column, mask=mask, other=0.0)
    x_fp32 = x.to(tl.float32)
    normed = x_fp32 * tl.rsqrt(tl.sum(x_fp32 * x_fp32, axis=0) / width + eps)
    weight = tl.load(weight_ptr + column, mask=mask, other=0.0).to(tl.float32)
    weighted = normed.to(x.dtype).to(tl.float32) * weight
    tl.store(out_ptr + token * width + column, weighted.to(x.dtype), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def _apply_rope(x, out, cos, sin, mask, HALF: tl.constexpr, offset):  # type: ignore[no-untyped-def]
    # Both halves of each head of one token, [heads, HALF] each, rotated by the token's angles [2 * HALF].
    first = tl.load(x + offset, mask=mask, other=0.0)
    second = tl.load(x + offset + HALF, mask=mask, other=0.0)
    a, b = first.to(tl.float32), second.to(tl.float32)
    column = tl.arange(0, HALF)[None, :]
    low_cos, low_sin = tl.load(cos + column).to(tl.float32), tl.load(sin + column).to(tl.float32)
    high_cos, high_sin = tl.load(cos + column + HALF).to(tl.float32), tl.load(sin + column + HALF).to(tl.float32)
    tl.store(out + offset, (a * low_cos - b * low_sin).to(first.dtype), mask=mask)
    tl.store(out + offset + HALF, (b * high_cos + a * high_sin).to(first.dtype), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def _apply_rope_and_write_kv(  # type: ignore[no-untyped-def]
    qkv, q, keys, values, cos, sin, position, slot, stride, heads, kv_heads,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    # 1. One program handles one token: its fused row [Q], and its angles [2 * HALF] in the tables of all positions.
    token = tl.program_id(0).to(tl.int64)
    position_offset = tl.load(position + token) * 2 * HALF
    token_cos, token_sin = cos + position_offset, sin + position_offset
    column = tl.arange(0, HALF)[None, :]
    start = qkv + token * stride
    # 2. Queries [H, W], rotated into q[token].
    if heads > 0:
        head = tl.arange(0, HEADS)[:, None]
        offset = head * 2 * HALF + column
        mask = (head < heads) & (column < HALF)
        _apply_rope(start, q + token * heads * 2 * HALF, token_cos, token_sin, mask, HALF, offset)
    # 3. Keys [K, W], rotated into the token's slot.
    head = tl.arange(0, KV_HEADS)[:, None]
    offset = head * 2 * HALF + column
    mask = (head < kv_heads) & (column < HALF)
    target = tl.load(slot + token) * kv_heads * 2 * HALF
    start += heads * 2 * HALF
    _apply_rope(start, keys + target, token_cos, token_sin, mask, HALF, offset)
    # 4. Values [K, W], copied into the token's slot.
    start += kv_heads * 2 * HALF
    tl.store(values + target + offset, tl.load(start + offset, mask=mask, other=0.0), mask=mask)
    tl.store(values + target + offset + HALF, tl.load(start + offset + HALF, mask=mask, other=0.0), mask=mask)

"""CUDA kernels of a decoder layer's element-wise steps, each one reading and one writing of its data.

Their plain references are `steps.py`'s functions of the same names. Written in Triton, imported only on a GPU. Compiled
by torch for lengths that vary, the same steps reached half of the memory's bandwidth or less (docs/performance.md).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from esn_dist.inference.packed.cache import Geometry

ROTATING = 4  # warps


def rms_norm(x_TD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    out_TD = torch.empty_like(x_TD)
    tokens, width = x_TD.shape
    with torch.cuda.device(x_TD.device):
        _rms_norm[(tokens,)](x_TD, weight_D, out_TD, width, eps, triton.next_power_of_2(width), num_warps=8)
    return out_TD


def turn_and_keep(
    qkv_TX: Tensor, angles_2SW: Tensor, geometry: Geometry, kept: Tensor, heads: int, kv_heads: int
) -> Tensor:
    width = angles_2SW.shape[-1]
    tokens = len(qkv_TX)
    q_THW = qkv_TX.new_empty(tokens, heads, width)
    cos_SW, sin_SW = angles_2SW
    keys, values = kept[0], kept[1]
    with torch.cuda.device(qkv_TX.device):
        _turn_and_keep[(tokens,)](
            qkv_TX, q_THW, keys, values, cos_SW, sin_SW, geometry.position_T, geometry.slot_T, qkv_TX.stride(0),
            heads, kv_heads, triton.next_power_of_2(max(heads, 1)), triton.next_power_of_2(kv_heads), width // 2,
            num_warps=ROTATING,
        )  # fmt: skip
    return q_THW


@triton.jit  # type: ignore[untyped-decorator]
def _rms_norm(x, weight, out, width, eps, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    narrow = tl.load(x + token * width + column, mask=inside, other=0.0)
    wide = narrow.to(tl.float32)
    normed = wide * tl.rsqrt(tl.sum(wide * wide, axis=0) / width + eps)
    w = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    found = normed.to(narrow.dtype).to(tl.float32) * w
    tl.store(out + token * width + column, found.to(narrow.dtype), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _turn(x, out, cos, sin, here, HALF: tl.constexpr, w):  # type: ignore[no-untyped-def]
    # Both halves of each head of one token, turned by the token's angles.
    first = tl.load(x + w, mask=here, other=0.0)
    second = tl.load(x + w + HALF, mask=here, other=0.0)
    a, b = first.to(tl.float32), second.to(tl.float32)
    column = tl.arange(0, HALF)[None, :]
    low_cos, low_sin = tl.load(cos + column).to(tl.float32), tl.load(sin + column).to(tl.float32)
    high_cos, high_sin = tl.load(cos + column + HALF).to(tl.float32), tl.load(sin + column + HALF).to(tl.float32)
    tl.store(out + w, (a * low_cos - b * low_sin).to(first.dtype), mask=here)
    tl.store(out + w + HALF, (b * high_cos + a * high_sin).to(first.dtype), mask=here)


@triton.jit  # type: ignore[untyped-decorator]
def _turn_and_keep(  # type: ignore[no-untyped-def]
    qkv, q, keys, values, cos, sin, position, slot, stride, heads, kv_heads,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    at = tl.load(position + token) * 2 * HALF
    column = tl.arange(0, HALF)[None, :]
    start = qkv + token * stride
    if heads > 0:
        head = tl.arange(0, HEADS)[:, None]
        w = head * 2 * HALF + column
        inside = (head < heads) & (column < HALF)
        _turn(start, q + token * heads * 2 * HALF, cos + at, sin + at, inside, HALF, w)
    head = tl.arange(0, KV_HEADS)[:, None]
    w = head * 2 * HALF + column
    inside = (head < kv_heads) & (column < HALF)
    place = tl.load(slot + token) * kv_heads * 2 * HALF
    start += heads * 2 * HALF
    _turn(start, keys + place, cos + at, sin + at, inside, HALF, w)
    start += kv_heads * 2 * HALF
    tl.store(values + place + w, tl.load(start + w, mask=inside, other=0.0), mask=inside)
    tl.store(values + place + w + HALF, tl.load(start + w + HALF, mask=inside, other=0.0), mask=inside)

"""Triton kernels that act on gates as they pass: multiplied and counted in one read, or mixed in place.

Each has its reference in torch, which every other device runs: `silu_and_mul` of `elementwise_ops.py`, the sums
of `count.py`, the factors of `mix.py`. Imported only where a CUDA tensor exists. Every output element has one writer,
so no result depends on the order of programs.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_NEURONS = 2_048  # of a program of `silu_and_mul`
TOKENS, NEURONS = 16, 256  # tile of a program that mixes
COUNTED_TOKENS, COUNTED_NEURONS = 8, 128  # tile of a program that counts, of one warp
COUNT_BITS = 10  # bits of one part's count: the parts share an integer, so one addition counts a token for its part


def silu_and_mul(gate_up_TM: Tensor) -> Tensor:
    """h [T, N] = SiLU(u) · up, of u and up side by side."""
    tokens, neurons = len(gate_up_TM), gate_up_TM.shape[1] // 2
    h_TN = gate_up_TM.new_empty(tokens, neurons)
    grid = (tokens, triton.cdiv(neurons, BLOCK_NEURONS))
    _launch(_silu_and_mul, grid, gate_up_TM, h_TN, neurons, BLOCK_NEURONS)
    return h_TN


def count_positive(u_TN: Tensor, part_T: Tensor, cu_seqlens: Tensor, K_BPN: Tensor, h_TN: Tensor | None = None) -> None:
    """Add to K[b, p, n] the positions t of row b with part p at which u[t, n] > 0.

    Args:
        u_TN: its rows need not be contiguous, its neurons must be.
        part_T: int64, 0 to 2; positions of any other part are not counted.
        cu_seqlens: int64 [B + 1].
        K_BPN: int32, three parts.
        h_TN: where given, `up` follows u in memory, and this becomes SiLU(u) · up.

    Raises:
        ValueError: K has another number of parts, or the neurons are not contiguous.
    """
    rows, parts, neurons = K_BPN.shape
    if parts != 3:
        raise ValueError(f"{parts} parts; the kernel counts three")
    grid = (triton.cdiv(neurons, COUNTED_NEURONS), rows)
    out = u_TN if h_TN is None else h_TN
    _launch(
        _count_positive, grid, u_TN, out, part_T, cu_seqlens, K_BPN, neurons, u_TN.stride(0), h_TN is not None,
        COUNTED_TOKENS, COUNTED_NEURONS, COUNT_BITS, warps=1,
    )  # fmt: skip


def mean_of_columns(u_TN: Tensor, columns_C: Tensor, part_T: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Float32 [B, C], the mean of SiLU(u) over each row's positions of any part, of some columns; 0 without any."""
    rows, width = len(cu_seqlens) - 1, len(columns_C)
    mean_BC = torch.empty(rows, width, device=u_TN.device)
    grid = (rows, triton.cdiv(width, NEURONS))
    _launch(_mean, grid, u_TN, columns_C, part_T, cu_seqlens, mean_BC, width, u_TN.stride(0), TOKENS, NEURONS)
    return mean_BC


def scale_columns(h_TN: Tensor, columns_C: Tensor, cu_seqlens: Tensor, factor_BC: Tensor) -> None:
    """Multiply some columns of each row's tokens by the row's factors, in float32, in place."""
    width = len(columns_C)
    grid = (len(cu_seqlens) - 1, triton.cdiv(width, NEURONS))
    _launch(_scale, grid, h_TN, columns_C, cu_seqlens, factor_BC, width, h_TN.stride(0), TOKENS, NEURONS)


def _launch(kernel: Any, grid: tuple[int, int], first: Tensor, *args: Any, warps: int = 4) -> None:
    if first.stride(-1) != 1:
        raise ValueError(f"neurons must be contiguous in memory, but their stride is {first.stride(-1)}")
    with torch.cuda.device(first.device):
        kernel[grid](first, *args, num_warps=warps)


@triton.jit
def _silu_mul(u, up):  # type: ignore[no-untyped-def]
    # Rounded between the two products, as two modules of torch do.
    u_fp32 = u.to(tl.float32)
    g = (u_fp32 / (1.0 + tl.exp(-u_fp32))).to(u.dtype)
    return (g.to(tl.float32) * up.to(tl.float32)).to(u.dtype)


@triton.jit  # type: ignore[untyped-decorator]
def _silu_and_mul(gate_up, h, neurons, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < neurons
    u = tl.load(gate_up + token * 2 * neurons + column, mask=inside)
    up = tl.load(gate_up + token * 2 * neurons + neurons + column, mask=inside)
    tl.store(h + token * neurons + column, _silu_mul(u, up), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _count_positive(  # type: ignore[no-untyped-def]
    u, h, part, cu_seqlens, K, neurons, stride,
    WRITE_H: tl.constexpr, TOKENS: tl.constexpr, NEURONS: tl.constexpr, COUNT_BITS: tl.constexpr,
):  # fmt: skip
    # 1. One program counts [NEURONS] neurons of one row of the batch, over all positions start <= t < stop of the row.
    row = tl.program_id(1)
    column = tl.program_id(0) * NEURONS + tl.arange(0, NEURONS)
    inside = column < neurons
    start, stop = tl.load(cu_seqlens + row), tl.load(cu_seqlens + row + 1)
    MAX_COUNT: tl.constexpr = (1 << COUNT_BITS) - 1
    MAX_SEGMENT: tl.constexpr = MAX_COUNT * TOKENS  # beyond, a count could overflow into the next one
    for segment in range(start, stop, MAX_SEGMENT):
        # 2. [TOKENS, NEURONS] integers, each with COUNT_BITS bits for every part.
        packed_counts = tl.zeros([TOKENS, NEURONS], dtype=tl.int32)
        for first in range(segment, tl.minimum(segment + MAX_SEGMENT, stop), TOKENS):
            # 3. A tile of u [TOKENS, NEURONS], and the part [TOKENS] of each of its positions.
            t = first + tl.arange(0, TOKENS).to(tl.int64)
            valid = (t < stop)[:, None] & inside[None, :]
            p = tl.load(part + t, mask=t < stop, other=-1)
            offset = t[:, None] * stride + column[None, :]
            tile = tl.load(u + offset, mask=valid, other=0.0)
            # 4. Where wanted, h = SiLU(u) · up of the same tile: u is read once for both.
            if WRITE_H:
                up = tl.load(u + offset + neurons, mask=valid, other=0.0)
                tl.store(h + t[:, None] * neurons + column[None, :], _silu_mul(tile, up), mask=valid)
            # 5. Add 1 in the bits of the position's part where u > 0; 0 for positions of no part.
            increment = tl.where(p < 0, 0, 1 << (COUNT_BITS * tl.maximum(p, 0))).to(tl.int32)
            packed_counts += tl.where(tile > 0, increment[:, None], 0)
        # 6. [TOKENS, NEURONS] -> [NEURONS]: add each part's bits to K[row, part].
        for part_index in tl.static_range(3):
            target = K + (row.to(tl.int64) * 3 + part_index) * neurons + column
            counts = tl.sum((packed_counts >> (COUNT_BITS * part_index)) & MAX_COUNT, axis=0)
            tl.store(target, tl.load(target, mask=inside) + counts, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _mean(u, columns, part, cu_seqlens, mean, width, stride, TOKENS: tl.constexpr, NEURONS: tl.constexpr):  # type: ignore[no-untyped-def]
    # 1. One program averages [NEURONS] of the C columns over one row of the batch.
    row = tl.program_id(0)
    c = tl.program_id(1) * NEURONS + tl.arange(0, NEURONS)
    column = tl.load(columns + c, mask=c < width, other=0)
    start, stop = tl.load(cu_seqlens + row), tl.load(cu_seqlens + row + 1)
    total = tl.zeros([TOKENS, NEURONS], dtype=tl.float32)
    n_counted = tl.zeros([TOKENS], dtype=tl.int32)
    for first in range(start, stop, TOKENS):
        # 2. A tile of u [TOKENS, NEURONS] at the positions of any part, the rest 0.
        t = first + tl.arange(0, TOKENS).to(tl.int64)
        counted = tl.load(part + t, mask=t < stop, other=-1) >= 0
        valid = counted[:, None] & (c < width)[None, :]
        tile = tl.load(u + t[:, None] * stride + column[None, :], mask=valid, other=0.0)
        # 3. SiLU rounded to the compute dtype, as the module gives it, then summed in float32.
        tile_fp32 = tile.to(tl.float32)
        total += (tile_fp32 / (1.0 + tl.exp(-tile_fp32))).to(tile.dtype).to(tl.float32)
        n_counted += counted.to(tl.int32)
    # 4. [TOKENS, NEURONS] -> [NEURONS].
    average = tl.sum(total, axis=0) / tl.maximum(tl.sum(n_counted, axis=0), 1)
    tl.store(mean + row * width + c, average, mask=c < width)


@triton.jit  # type: ignore[untyped-decorator]
def _scale(h, columns, cu_seqlens, factor, width, stride, TOKENS: tl.constexpr, NEURONS: tl.constexpr):  # type: ignore[no-untyped-def]
    # 1. One program scales [NEURONS] of the C columns of one row of the batch.
    row = tl.program_id(0)
    c = tl.program_id(1) * NEURONS + tl.arange(0, NEURONS)
    column = tl.load(columns + c, mask=c < width, other=0)
    row_factor = tl.load(factor + row * width + c, mask=c < width, other=1.0)
    start, stop = tl.load(cu_seqlens + row), tl.load(cu_seqlens + row + 1)
    for first in range(start, stop, TOKENS):
        # 2. A tile of h [TOKENS, NEURONS], multiplied in float32 and rounded once.
        t = first + tl.arange(0, TOKENS).to(tl.int64)
        valid = (t < stop)[:, None] & (c < width)[None, :]
        offset = h + t[:, None] * stride + column[None, :]
        tile = tl.load(offset, mask=valid, other=0.0)
        tl.store(offset, (tile.to(tl.float32) * row_factor[None, :]).to(tile.dtype), mask=valid)

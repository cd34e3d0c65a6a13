"""CUDA kernels that act on gates while they pass: gated and counted in one reading, mixed in place.

Each has its plain reference in torch, which every other device runs: `gated` here, the sums of `count.py`, the factors
of `mix.py`. Written in Triton, so imported only where a CUDA tensor is at hand. Every output element has one writer:
no result depends on who comes first.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

WIDE = 2_048  # neurons of a program that only gates
TOKENS, NEURONS = 16, 256  # tile of a program that mixes
COUNTED_TOKENS, COUNTED_NEURONS = 8, 128  # tile of a program that counts, of one warp
FIELD = 10  # bits of a count while it is made: so many share an integer that a token adds to all parts at once


def gated(gate_up_TM: Tensor) -> Tensor:
    """h [T, N] = SiLU(u) · up, of u and up side by side."""
    tokens, both = gate_up_TM.shape
    h_TN = gate_up_TM.new_empty(tokens, both // 2)
    _launch(_gated, (tokens, triton.cdiv(both // 2, WIDE)), gate_up_TM, h_TN, both // 2, WIDE)
    return h_TN


def counted(u_TN: Tensor, part_T: Tensor, starts_R: Tensor, K_BPN: Tensor, h_TN: Tensor | None = None) -> None:
    """Add to K[b, p, n] the positions t of row b with part p at which u[t, n] > 0.

    Args:
        u_TN: rows may stand apart, neurons not.
        part_T: int64, 0 to 2; positions of another part count nowhere.
        starts_R: int64 [B + 1].
        K_BPN: int32, three parts.
        h_TN: where given, u has `up` right behind it in memory, and this becomes SiLU(u) · up.
    """
    rows, parts, neurons = K_BPN.shape
    if parts != 3:
        raise ValueError(f"{parts} parts; the kernel has room for three")
    grid = (triton.cdiv(neurons, COUNTED_NEURONS), rows)
    out = u_TN if h_TN is None else h_TN
    _launch(
        _counted, grid, u_TN, out, part_T, starts_R, K_BPN, neurons, u_TN.stride(0), h_TN is not None,
        COUNTED_TOKENS, COUNTED_NEURONS, FIELD, warps=1,
    )  # fmt: skip


def mean_of_columns(u_TN: Tensor, columns_C: Tensor, part_T: Tensor, starts_R: Tensor) -> Tensor:
    """Float32 [B, C], the mean of SiLU(u) over each row's positions of any part, of some columns; 0 without any."""
    rows, width = len(starts_R) - 1, len(columns_C)
    mean_BC = torch.empty(rows, width, device=u_TN.device)
    grid = (rows, triton.cdiv(width, NEURONS))
    _launch(_mean, grid, u_TN, columns_C, part_T, starts_R, mean_BC, width, u_TN.stride(0), TOKENS, NEURONS)
    return mean_BC


def scale_columns(h_TN: Tensor, columns_C: Tensor, starts_R: Tensor, factor_BC: Tensor) -> None:
    """Multiply some columns of each row's tokens by the row's factors, in float32, in place."""
    width = len(columns_C)
    grid = (len(starts_R) - 1, triton.cdiv(width, NEURONS))
    _launch(_scale, grid, h_TN, columns_C, starts_R, factor_BC, width, h_TN.stride(0), TOKENS, NEURONS)


def _launch(kernel: Any, grid: tuple[int, int], first: Tensor, *args: Any, warps: int = 4) -> None:
    if first.stride(-1) != 1:
        raise ValueError(f"neurons must lie side by side in memory, not {first.stride(-1)} apart")
    with torch.cuda.device(first.device):
        kernel[grid](first, *args, num_warps=warps)


@triton.jit
def _silu_mul(u, up):  # type: ignore[no-untyped-def]
    # Rounded between the two products, as two modules of torch do.
    wide = u.to(tl.float32)
    g = (wide / (1.0 + tl.exp(-wide))).to(u.dtype)
    return (g.to(tl.float32) * up.to(tl.float32)).to(u.dtype)


@triton.jit  # type: ignore[untyped-decorator]
def _gated(gate_up, h, neurons, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    inside = column < neurons
    u = tl.load(gate_up + token * 2 * neurons + column, mask=inside)
    up = tl.load(gate_up + token * 2 * neurons + neurons + column, mask=inside)
    tl.store(h + token * neurons + column, _silu_mul(u, up), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _counted(  # type: ignore[no-untyped-def]
    u, h, part, starts, K, neurons, stride,
    GATED: tl.constexpr, TOKENS: tl.constexpr, NEURONS: tl.constexpr, FIELD: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1)
    column = tl.program_id(0) * NEURONS + tl.arange(0, NEURONS)
    inside = column < neurons
    start, stop = tl.load(starts + row), tl.load(starts + row + 1)
    FULL: tl.constexpr = (1 << FIELD) - 1
    LONGEST: tl.constexpr = FULL * TOKENS  # beyond, a field could overflow into the next one
    for segment in range(start, stop, LONGEST):
        fields = tl.zeros([TOKENS, NEURONS], dtype=tl.int32)
        for first in range(segment, tl.minimum(segment + LONGEST, stop), TOKENS):
            t = first + tl.arange(0, TOKENS).to(tl.int64)
            here = (t < stop)[:, None] & inside[None, :]
            p = tl.load(part + t, mask=t < stop, other=-1)
            at = t[:, None] * stride + column[None, :]
            tile = tl.load(u + at, mask=here, other=0.0)
            if GATED:
                up = tl.load(u + at + neurons, mask=here, other=0.0)
                tl.store(h + t[:, None] * neurons + column[None, :], _silu_mul(tile, up), mask=here)
            one = tl.where(p < 0, 0, 1 << (FIELD * tl.maximum(p, 0))).to(tl.int32)
            fields += tl.where(tile > 0, one[:, None], 0)
        for number in tl.static_range(3):
            place = K + (row.to(tl.int64) * 3 + number) * neurons + column
            more = tl.sum((fields >> (FIELD * number)) & FULL, axis=0)
            tl.store(place, tl.load(place, mask=inside) + more, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _mean(u, columns, part, starts, mean, width, stride, TOKENS: tl.constexpr, NEURONS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    c = tl.program_id(1) * NEURONS + tl.arange(0, NEURONS)
    column = tl.load(columns + c, mask=c < width, other=0)
    start, stop = tl.load(starts + row), tl.load(starts + row + 1)
    total = tl.zeros([TOKENS, NEURONS], dtype=tl.float32)
    number = tl.zeros([TOKENS], dtype=tl.int32)
    for first in range(start, stop, TOKENS):
        t = first + tl.arange(0, TOKENS).to(tl.int64)
        counts = tl.load(part + t, mask=t < stop, other=-1) >= 0
        here = counts[:, None] & (c < width)[None, :]
        tile = tl.load(u + t[:, None] * stride + column[None, :], mask=here, other=0.0)
        wide = tile.to(tl.float32)
        total += (wide / (1.0 + tl.exp(-wide))).to(tile.dtype).to(tl.float32)
        number += counts.to(tl.int32)
    found = tl.sum(total, axis=0) / tl.maximum(tl.sum(number, axis=0), 1)
    tl.store(mean + row * width + c, found, mask=c < width)


@triton.jit  # type: ignore[untyped-decorator]
def _scale(h, columns, starts, factor, width, stride, TOKENS: tl.constexpr, NEURONS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    c = tl.program_id(1) * NEURONS + tl.arange(0, NEURONS)
    column = tl.load(columns + c, mask=c < width, other=0)
    by = tl.load(factor + row * width + c, mask=c < width, other=1.0)
    start, stop = tl.load(starts + row), tl.load(starts + row + 1)
    for first in range(start, stop, TOKENS):
        t = first + tl.arange(0, TOKENS).to(tl.int64)
        here = (t < stop)[:, None] & (c < width)[None, :]
        at = h + t[:, None] * stride + column[None, :]
        tile = tl.load(at, mask=here, other=0.0)
        tl.store(at, (tile.to(tl.float32) * by[None, :]).to(tile.dtype), mask=here)

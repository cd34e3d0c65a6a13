"""The element-wise steps of a decoder layer, plainly: what runs without a GPU, and the reference of `kernels.py`."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from esn_dist.inference.packed.cache import Geometry


class Steps(Protocol):
    """One implementation of all steps."""

    def rms_norm(self, x_TD: Tensor, weight_D: Tensor, eps: float, /) -> Tensor: ...

    def turn_and_keep(
        self, qkv_TX: Tensor, angles_2SW: Tensor, geometry: Geometry, kept: Tensor, heads: int, kv_heads: int, /
    ) -> Tensor: ...

    def gated(self, gate_up_TM: Tensor, /) -> Tensor: ...


def steps(kernels: bool) -> Steps:
    """The steps as CUDA `kernels`, or plainly."""
    if not kernels:
        return cast(Steps, SimpleNamespace(rms_norm=rms_norm, turn_and_keep=turn_and_keep, gated=gated))
    from esn_dist.gates import kernels as gates
    from esn_dist.inference.packed import kernels as own

    return cast(Steps, SimpleNamespace(rms_norm=own.rms_norm, turn_and_keep=own.turn_and_keep, gated=gates.gated))


def compiler_here() -> bool:
    """Whether kernels can be built on this machine."""
    return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


def rms_norm(x_TD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x over its root mean square, times a weight; in float32, rounded before the weight as in transformers."""
    wide_TD = x_TD.float()
    return weight_D * (wide_TD * torch.rsqrt(wide_TD.square().mean(-1, keepdim=True) + eps)).to(x_TD.dtype)


def turn_and_keep(
    qkv_TX: Tensor, angles_2SW: Tensor, geometry: Geometry, kept: Tensor, heads: int, kv_heads: int
) -> Tensor:
    """Turn queries and keys by their positions' angles, and keep keys and values.

    Args:
        qkv_TX: queries of `heads`, keys and values of `kv_heads`, side by side; no queries where `heads` is 0.
        angles_2SW: cosines and sines of each position.
        kept: the layer's cache [2, B, S, K, W], written at the tokens' slots.

    Returns:
        Turned queries [T, H, W].
    """
    width = angles_2SW.shape[-1]
    x_THW = qkv_TX.view(len(qkv_TX), -1, width)
    cos_TW, sin_TW = angles_2SW[:, geometry.position_T]
    turned_THW = turn(x_THW[:, : heads + kv_heads], cos_TW, sin_TW)
    flat = kept.flatten(1, 2)
    flat[0].index_copy_(0, geometry.slot_T, turned_THW[:, heads:])
    flat[1].index_copy_(0, geometry.slot_T, x_THW[:, heads + kv_heads :])
    return turned_THW[:, :heads]


def turn(x_THW: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> Tensor:
    """Rotary position embedding: the halves of each head turned by the angles of the token's position."""
    first, second = x_THW.chunk(2, -1)
    return x_THW * cos_TW[:, None] + torch.cat([-second, first], -1) * sin_TW[:, None]


def gated(gate_up_TM: Tensor) -> Tensor:
    """h [T, N] = SiLU(u) · up, of u and up side by side."""
    u_TN, up_TN = gate_up_TM.chunk(2, -1)
    return functional.silu(u_TN) * up_TN

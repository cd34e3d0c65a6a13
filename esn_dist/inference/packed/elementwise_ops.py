"""The element-wise operations of a decoder layer in torch: they need no GPU, and are the reference of `kernels.py`."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from esn_dist.inference.packed.cache import PackedLayout


class ElementwiseOps(Protocol):
    """One implementation of all element-wise operations."""

    def rms_norm(self, x_TD: Tensor, weight_D: Tensor, eps: float, /) -> Tensor: ...

    def apply_rope_and_write_kv(
        self, qkv_TQ: Tensor, cos_sin_2SW: Tensor, layout: PackedLayout, kv_cache: Tensor, heads: int, kv_heads: int, /
    ) -> Tensor: ...

    def silu_and_mul(self, gate_up_TM: Tensor, /) -> Tensor: ...


def elementwise_ops(kernels: bool) -> ElementwiseOps:
    """The operations as Triton kernels, or in torch."""
    if not kernels:
        torch_ops = SimpleNamespace(
            rms_norm=rms_norm, apply_rope_and_write_kv=apply_rope_and_write_kv, silu_and_mul=silu_and_mul
        )
        return cast(ElementwiseOps, torch_ops)
    from esn_dist.gates import kernels as gate_kernels
    from esn_dist.inference.packed import kernels as layer_kernels

    kernel_ops = SimpleNamespace(
        rms_norm=layer_kernels.rms_norm,
        apply_rope_and_write_kv=layer_kernels.apply_rope_and_write_kv,
        silu_and_mul=gate_kernels.silu_and_mul,
    )
    return cast(ElementwiseOps, kernel_ops)


def has_c_compiler() -> bool:
    """Whether this machine has a C compiler, which Triton needs."""
    return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


def rms_norm(x_TD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x over its root mean square, times a weight; in float32, rounded before the weight as in transformers."""
    x_fp32_TD = x_TD.float()
    return weight_D * (x_fp32_TD * torch.rsqrt(x_fp32_TD.square().mean(-1, keepdim=True) + eps)).to(x_TD.dtype)


def apply_rope_and_write_kv(
    qkv_TQ: Tensor, cos_sin_2SW: Tensor, layout: PackedLayout, kv_cache: Tensor, heads: int, kv_heads: int
) -> Tensor:
    """Rotate queries and keys by their positions, and write keys and values to the cache.

    Args:
        qkv_TQ: queries of `heads`, keys and values of `kv_heads`, side by side; no queries where `heads` is 0.
        cos_sin_2SW: cosines and sines of each position's angles.
        kv_cache: the layer's [2, B, S, K, W], written at the tokens' slots.

    Returns:
        Rotated queries [T, H, W].
    """
    # 1. [T, Q] -> [T, H + 2·K, W], and the angles [T, W] of each token's position.
    width = cos_sin_2SW.shape[-1]
    x_THW = qkv_TQ.view(len(qkv_TQ), -1, width)
    cos_TW, sin_TW = cos_sin_2SW[:, layout.position_T]
    # 2. Queries and keys [T, H + K, W].
    rotated_THW = apply_rope(x_THW[:, : heads + kv_heads], cos_TW, sin_TW)
    # 3. Keys and values [T, K, W] into the cache [2, B·S, K, W] at the slots [T].
    slots = kv_cache.flatten(1, 2)
    slots[0].index_copy_(0, layout.slot_T, rotated_THW[:, heads:])
    slots[1].index_copy_(0, layout.slot_T, x_THW[:, heads + kv_heads :])
    return rotated_THW[:, :heads]


def apply_rope(x_THW: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> Tensor:
    """Rotary position embedding: the halves of each head rotated by the angles of the token's position."""
    first, second = x_THW.chunk(2, -1)
    return x_THW * cos_TW[:, None] + torch.cat([-second, first], -1) * sin_TW[:, None]


def silu_and_mul(gate_up_TM: Tensor) -> Tensor:
    """h [T, N] = SiLU(u) · up, of u and up side by side."""
    u_TN, up_TN = gate_up_TM.chunk(2, -1)
    return functional.silu(u_TN) * up_TN

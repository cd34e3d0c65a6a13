"""Causal attention of packed tokens over a key-value cache whose rows have unequal lengths.

On a GPU in 16 bits through torch's variable-length flash attention, which reads neither padding nor empty slots;
elsewhere padded and masked, through scaled dot-product attention. Keys may have fewer heads than queries.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from esn_dist.inference.packed.cache import PackedLayout


def attend(q_THW: Tensor, kv_cache: Tensor, layout: PackedLayout) -> Tensor:
    """The attention output of each token, [T, H, W].

    Args:
        q_THW: queries.
        kv_cache: keys and values [2, B, S, K, W] of a layer, with those of these tokens already written.
    """
    fast = q_THW.is_cuda and q_THW.dtype in (torch.bfloat16, torch.float16)
    return _flash(q_THW, kv_cache, layout) if fast else _padded(q_THW, kv_cache, layout)


def _flash(q_THW: Tensor, kv_cache: Tensor, layout: PackedLayout) -> Tensor:
    # 1. [2, B, S, K, W] -> two of [B·S, K, W]: row b begins at slot b·S, and seqused_k of its slots are in use.
    keys, values = kv_cache.flatten(1, 2)
    # 2. [T, H, W] -> [T, H, W], causal from the end: a row's last query attends to all its used slots.
    # The public `varlen_attn` has used slots and shared heads only in newer versions of torch than we support.
    out_THW: Tensor = torch.ops.aten._flash_attention_forward(
        q_THW, keys, values, layout.cu_seqlens, layout.cu_seqlens_k, layout.max_seqlen, layout.slots, 0.0, True, False,
        seqused_k=layout.kv_lengths_B,
    )[0]  # fmt: skip
    return out_THW


def _padded(q_THW: Tensor, kv_cache: Tensor, layout: PackedLayout) -> Tensor:
    rows = kv_cache.shape[1]
    # 1. [T, H, W] -> [F, H, W] -> [B, H, L, W]: queries of each row, padded to the longest.
    q_FHW = q_THW.new_zeros(rows * layout.max_seqlen, *q_THW.shape[1:]).index_copy(0, layout.offset_T, q_THW)
    q_BHLW = q_FHW.view(rows, layout.max_seqlen, *q_THW.shape[1:]).transpose(1, 2)
    # 2. [2, B, S, K, W] -> two of [B, K, S, W].
    keys_BKSW, values_BKSW = kv_cache.transpose(2, 3)
    # 3. Attention under the mask [B, 1, L, S]: [B, H, L, W].
    out_BHLW = scaled_dot_product_attention(
        q_BHLW, keys_BKSW, values_BKSW, attn_mask=layout.attends_to_BLS[:, None], enable_gqa=True
    )
    # 4. [B, H, L, W] -> [F, H, W] -> [T, H, W].
    return out_BHLW.transpose(1, 2).flatten(0, 1)[layout.offset_T]

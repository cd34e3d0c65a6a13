"""Causal attention of packed tokens over a cache whose rows have unequal lengths.

On a GPU in 16 bits through torch's variable-length flash attention, which touches neither padding nor empty slots;
elsewhere padded and masked, through scaled dot-product attention. Keys may have fewer heads than queries.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from esn_dist.inference.packed.cache import Geometry


def attend(q_THW: Tensor, kept: Tensor, geometry: Geometry) -> Tensor:
    """What each token reads, [T, H, W].

    Args:
        q_THW: queries.
        kept: keys and values [2, B, S, K, W] of a layer, those of these tokens among them.
    """
    fast = q_THW.is_cuda and q_THW.dtype in (torch.bfloat16, torch.float16)
    return _flash(q_THW, kept, geometry) if fast else _padded(q_THW, kept, geometry)


def _flash(q_THW: Tensor, kept: Tensor, at: Geometry) -> Tensor:
    keys, values = kept.flatten(1, 2)
    # The public `varlen_attn` knows used slots and shared heads only in newer versions of torch than we support. Causal
    # means from the end: a row's last query sees all its used slots.
    out_THW: Tensor = torch.ops.aten._flash_attention_forward(
        q_THW, keys, values, at.starts_R, at.slot_starts_R, at.longest, at.slots, 0.0, True, False, seqused_k=at.used_B
    )[0]
    return out_THW


def _padded(q_THW: Tensor, kept: Tensor, at: Geometry) -> Tensor:
    rows = kept.shape[1]
    q_XHW = q_THW.new_zeros(rows * at.longest, *q_THW.shape[1:]).index_copy(0, at.place_T, q_THW)
    out_BHLW = scaled_dot_product_attention(
        q_XHW.view(rows, at.longest, *q_THW.shape[1:]).transpose(1, 2),
        kept[0].transpose(1, 2), kept[1].transpose(1, 2), attn_mask=at.sees_BLS[:, None], enable_gqa=True,
    )  # fmt: skip
    return out_BHLW.transpose(1, 2).flatten(0, 1)[at.place_T]

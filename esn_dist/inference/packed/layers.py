"""Qwen2's decoder layers as functions on packed tokens, over the loaded model's own weights.

Projections that read the same input are fused into one product (q, k, v; gate, up). The modules' weights become views
of the fused ones, so no weight is held twice, transformers' own forward still runs, and a mask folded into `down_proj`
acts in both. The residual is added by the product that ends each half of a layer. Hooks on modules are not called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Qwen2Model
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniThinkerTextModel

from esn_dist.gates.protocols import ActivationObserver
from esn_dist.inference.packed.attention import attend
from esn_dist.inference.packed.cache import KVCache, PackedLayout
from esn_dist.inference.packed.elementwise_ops import apply_rope, elementwise_ops
from esn_dist.transfer import peer_copy


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weights of one layer; `qkv` maps the normed stream to all heads, `gate_up` to u and up, side by side."""

    attention_norm_D: Tensor
    qkv_QD: Tensor
    qkv_bias_Q: Tensor
    out_DA: Tensor
    mlp_norm_D: Tensor
    gate_up_MD: Tensor
    down_DN: Tensor

    @classmethod
    def of(cls, module: Any) -> LayerWeights:
        """The weights of transformers' module of a layer. The module's own become views of the fused ones."""
        attention, mlp = module.self_attn, module.mlp
        qkv_QD = fuse([attention.q_proj, attention.k_proj, attention.v_proj])
        gate_up_MD = fuse([mlp.gate_proj, mlp.up_proj])
        bias_Q = torch.cat([p.bias.data for p in (attention.q_proj, attention.k_proj, attention.v_proj)])
        return cls(
            module.input_layernorm.weight.data, qkv_QD, bias_Q, attention.o_proj.weight.data,
            module.post_attention_layernorm.weight.data, gate_up_MD, mlp.down_proj.weight.data,
        )  # fmt: skip


class Qwen2Layers:
    """The decoder.

    Args:
        decoder: one that the class `supports`.
        kernels: whether element-wise operations run as Triton kernels.
    """

    def __init__(self, decoder: nn.Module, kernels: bool) -> None:
        config: Any = decoder.config
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.head_width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.eps: float = config.rms_norm_eps
        self.layers = [LayerWeights.of(module) for module in cast(Any, decoder.layers)]
        self._activations: list[nn.Module] = [m.mlp.act_fn for m in cast(Any, decoder.layers)]
        self.norm_D: Tensor = cast(Any, decoder).norm.weight.data
        self._rotary = cast(Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], decoder.rotary_emb)
        self._cos_sin: dict[torch.device, Tensor] = {}  # [2, S, W]
        # The kernel rotates half a head at once, and Triton's blocks are powers of two.
        self.ops = elementwise_ops(kernels and self.head_width.bit_count() == 1)

    @staticmethod
    def supports(decoder: nn.Module) -> bool:
        """Whether `decoder` computes what is computed here, with all its weights in memory."""
        if type(decoder) not in (Qwen2Model, Qwen2_5OmniThinkerTextModel):
            return False
        config: Any = decoder.config
        full_attention = set(getattr(config, "layer_types", ["full_attention"])) == {"full_attention"}
        default_rope = cast(Any, decoder.rotary_emb).rope_type == "default"
        in_memory = not any(parameter.is_meta for parameter in decoder.parameters())
        return full_attention and default_rope and config.hidden_act == "silu" and in_memory

    @property
    def hooked(self) -> bool:
        """Whether a hook is registered on a gate; it would never be called here."""
        return any(activation._forward_hooks for activation in self._activations)

    @property
    def devices(self) -> list[torch.device]:
        """The devices of the layers, in order, each once."""
        return list(dict.fromkeys(layer.down_DN.device for layer in self.layers))

    def cache(self, rows: int, slots: int) -> KVCache:
        """An empty cache of `slots` positions in each of `rows`."""
        like = [layer.out_DA for layer in self.layers]
        return KVCache.empty(like, rows, slots, self.kv_heads, self.head_width)

    def forward(
        self, x_TD: Tensor, layout: PackedLayout, cache: KVCache, observer: ActivationObserver | None = None
    ) -> Tensor:
        """Hidden states [B, D] after the final norm, of each row's last token.

        The last layer computes attention queries and MLP for those tokens alone, unless there is an observer.

        Args:
            x_TD: input embeddings; overwritten.
            cache: keys and values of earlier calls; those of these tokens are added.
        """
        for number, layer in enumerate(self.layers):
            # 1. To the next GPU where the layers are spread.
            if x_TD.device != layer.down_DN.device:
                x_TD = peer_copy(x_TD, layer.down_DN.device)
                layout = layout.to(x_TD.device)
            # 2. [T, D] -> [T, D]; [T, D] -> [B, D] in the last layer without observer.
            prune = observer is None and number + 1 == len(self.layers)
            x_TD = self._attention(layer, x_TD, layout, cache.layers[number], layout.last_B if prune else None)
            # 3. The MLP's output is added in place.
            self._mlp(number, layer, x_TD, observer)
        # 4. [T, D] -> [B, D], and the final norm.
        if observer is not None:
            x_TD = x_TD[layout.last_B]
        return self.ops.rms_norm(x_TD, self.norm_D.to(x_TD.device), self.eps)

    def _attention(
        self, layer: LayerWeights, x_TD: Tensor, layout: PackedLayout, kv_cache: Tensor, query_B: Tensor | None
    ) -> Tensor:
        """The residual stream after a layer's attention: [T, D] in place, or [B, D] of the tokens `query_B` alone."""
        # 1. [T, D] normed, and the cosines and sines [2, S, W] of all positions.
        normed_TD = self.ops.rms_norm(x_TD, layer.attention_norm_D, self.eps)
        cos_sin_2SW = self._cos_sin_up_to(layout.slots, x_TD)
        if query_B is None:
            # 2. [T, D] -> [T, Q] -> queries [T, H, W]; keys and values into the cache.
            qkv_TQ = functional.linear(normed_TD, layer.qkv_QD, layer.qkv_bias_Q)
            q_THW = self.ops.apply_rope_and_write_kv(qkv_TQ, cos_sin_2SW, layout, kv_cache, self.heads, self.kv_heads)
        else:
            # 3. Keys and values of all T tokens into the cache; queries [B, A] -> [B, H, W] of each row's last token.
            split = self.heads * self.head_width
            kv_TQ = functional.linear(normed_TD, layer.qkv_QD[split:], layer.qkv_bias_Q[split:])
            self.ops.apply_rope_and_write_kv(kv_TQ, cos_sin_2SW, layout, kv_cache, 0, self.kv_heads)
            q_BA = functional.linear(normed_TD[query_B], layer.qkv_QD[:split], layer.qkv_bias_Q[:split])
            x_TD, layout = x_TD[query_B], layout.last_positions
            q_THW = apply_rope(q_BA.view(len(query_B), -1, self.head_width), *cos_sin_2SW[:, layout.position_T])
        # 4. [T, H, W] -> [T, A] -> [T, D], added to the stream (T is B where pruned).
        heads_TA = attend(q_THW, kv_cache, layout).reshape(len(x_TD), -1)
        return x_TD.addmm_(heads_TA, layer.out_DA.T)

    def _mlp(self, number: int, layer: LayerWeights, x_TD: Tensor, observer: ActivationObserver | None) -> None:
        """Adds a layer's MLP to the stream, in place."""
        # 1. [T, D] -> [T, M]: u and up, side by side.
        normed_TD = self.ops.rms_norm(x_TD, layer.mlp_norm_D, self.eps)
        gate_up_TM = functional.linear(normed_TD, layer.gate_up_MD)
        # 2. [T, M] -> [T, N]: h = SiLU(u) · up.
        silu_and_mul = self.ops.silu_and_mul
        h_TN = observer.transform_gate(number, gate_up_TM, silu_and_mul) if observer else silu_and_mul(gate_up_TM)
        # 3. [T, N] -> [T, D], added to the stream.
        x_TD.addmm_(h_TN, layer.down_DN.T)

    def _cos_sin_up_to(self, slots: int, x_TD: Tensor) -> Tensor:
        """Cosines and sines [2, S, W] of at least `slots` positions, on the device of `x_TD`."""
        cos_sin_2SW = self._cos_sin.get(x_TD.device)
        if cos_sin_2SW is None or cos_sin_2SW.shape[1] < slots:
            slots = 1 << (slots - 1).bit_length()  # seldom recomputed: the rotary module may be on another GPU
            # All three axes of Qwen2.5-Omni's rotary positions are equal in a prompt of audio and text.
            cos_sin = self._rotary(x_TD[None, :1], torch.arange(slots, device=x_TD.device)[None])
            cos_sin_2SW = torch.stack([table.reshape(slots, -1) for table in cos_sin]).to(x_TD.device)
            self._cos_sin[x_TD.device] = cos_sin_2SW
        return cos_sin_2SW


def fuse(linears: Sequence[Any]) -> Tensor:
    """The weights of `linears` concatenated along the outputs; each module's own becomes a view of them.

    Weights that another engine of the same model has fused before are reused.
    """
    weights: list[Tensor] = [linear.weight.data for linear in linears]
    first, size = weights[0], sum(len(w) for w in weights)
    if all(weight.data_ptr() + weight.nbytes == following.data_ptr() for weight, following in pairwise(weights)) and (
        first.untyped_storage().data_ptr() == weights[-1].untyped_storage().data_ptr()
    ):
        return first.as_strided((size, first.shape[1]), first.stride())
    joined = torch.cat(weights)
    for linear, weight_view in zip(linears, joined.split([len(w) for w in weights]), strict=True):
        linear.weight.data = weight_view
    return joined

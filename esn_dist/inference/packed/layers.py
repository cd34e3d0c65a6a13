"""Qwen2's decoder layers as functions on packed tokens, over the loaded model's own weights.

The products that read one input are fused into one (q, k, v; gate, up): the modules' weights become views of the fused
ones, so nothing is held twice, transformers' own forward still runs, and a mask folded into `down_proj` acts in both.
The residual is added by the product that ends each half of a layer. Hooks on modules are not called here.
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

from esn_dist.inference.engine import Watcher
from esn_dist.inference.packed.attention import attend
from esn_dist.inference.packed.cache import Cache, Geometry
from esn_dist.inference.packed.steps import steps, turn
from esn_dist.transfer import peer_copy


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer; `qkv` reads the normed stream into all heads, `gate_up` into u and up, side by side."""

    attention_norm_D: Tensor
    qkv_XD: Tensor
    qkv_bias_X: Tensor
    out_DX: Tensor
    mlp_norm_D: Tensor
    gate_up_MD: Tensor
    down_DN: Tensor

    @classmethod
    def of(cls, module: Any) -> Layer:
        attention, mlp = module.self_attn, module.mlp
        qkv = fuse([attention.q_proj, attention.k_proj, attention.v_proj])
        gate_up = fuse([mlp.gate_proj, mlp.up_proj])
        bias = torch.cat([p.bias.data for p in (attention.q_proj, attention.k_proj, attention.v_proj)])
        return cls(
            module.input_layernorm.weight.data, qkv, bias, attention.o_proj.weight.data,
            module.post_attention_layernorm.weight.data, gate_up, mlp.down_proj.weight.data,
        )  # fmt: skip


class Qwen2Layers:
    """The decoder.

    Args:
        decoder: one that `fits`.
        kernels: whether element-wise steps are CUDA kernels of their own.
    """

    def __init__(self, decoder: nn.Module, kernels: bool) -> None:
        config: Any = decoder.config
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.head_width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.eps: float = config.rms_norm_eps
        self.layers = [Layer.of(module) for module in cast(Any, decoder.layers)]
        self._activations: list[nn.Module] = [m.mlp.act_fn for m in cast(Any, decoder.layers)]
        self.norm_D: Tensor = cast(Any, decoder).norm.weight.data
        self._rotary = cast(Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], decoder.rotary_emb)
        self._angles: dict[torch.device, Tensor] = {}  # cosines and sines [2, S, W]
        # A kernel turns half a head at once, and Triton's blocks are powers of two.
        self.steps = steps(kernels and self.head_width.bit_count() == 1)

    @staticmethod
    def fits(decoder: nn.Module) -> bool:
        """Whether `decoder` computes what is computed here, with all its weights in memory."""
        if type(decoder) not in (Qwen2Model, Qwen2_5OmniThinkerTextModel):
            return False
        config: Any = decoder.config
        whole = set(getattr(config, "layer_types", ["full_attention"])) == {"full_attention"}
        fixed = cast(Any, decoder.rotary_emb).rope_type == "default"
        return whole and fixed and config.hidden_act == "silu" and not any(p.is_meta for p in decoder.parameters())

    @property
    def hooked(self) -> bool:
        """Whether somebody waits at a gate for a call that never comes."""
        return any(activation._forward_hooks for activation in self._activations)

    @property
    def devices(self) -> list[torch.device]:
        """Where the layers lie, in order, each once."""
        return list(dict.fromkeys(layer.down_DN.device for layer in self.layers))

    def cache(self, rows: int, slots: int) -> Cache:
        """An empty cache of `slots` positions in each of `rows`."""
        like = [layer.out_DX for layer in self.layers]
        return Cache.empty(like, rows, slots, self.kv_heads, self.head_width)

    def run(self, x_TD: Tensor, geometry: Geometry, cache: Cache, watcher: Watcher | None = None) -> Tensor:
        """Hidden states [B, D] after the final norm, of each row's last token.

        The last layer's attention and MLP run for those alone, unless somebody watches.

        Args:
            x_TD: input embeddings; overwritten.
            cache: keys and values of what came before; those of these tokens are added.
        """
        for number, layer in enumerate(self.layers):
            if x_TD.device != layer.down_DN.device:
                x_TD = peer_copy(x_TD, layer.down_DN.device)
                geometry = geometry.on(x_TD.device)
            ends = watcher is None and number + 1 == len(self.layers)
            x_TD = self._attention(layer, x_TD, geometry, cache.layers[number], geometry.last_B if ends else None)
            self._mlp(number, layer, x_TD, watcher)
        if watcher is not None:
            x_TD = x_TD[geometry.last_B]
        return self.steps.rms_norm(x_TD, self.norm_D.to(x_TD.device), self.eps)

    def _attention(self, layer: Layer, x_TD: Tensor, geometry: Geometry, kept: Tensor, read_B: Tensor | None) -> Tensor:
        """The stream after a layer's attention: of all tokens, in place, or of those at `read_B`, their rows' last."""
        normed_TD = self.steps.rms_norm(x_TD, layer.attention_norm_D, self.eps)
        angles_2SW = self._angles_up_to(geometry.slots, x_TD)
        if read_B is None:
            qkv_TX = functional.linear(normed_TD, layer.qkv_XD, layer.qkv_bias_X)
            q_THW = self.steps.turn_and_keep(qkv_TX, angles_2SW, geometry, kept, self.heads, self.kv_heads)
        else:
            own = self.heads * self.head_width
            kv_TX = functional.linear(normed_TD, layer.qkv_XD[own:], layer.qkv_bias_X[own:])
            self.steps.turn_and_keep(kv_TX, angles_2SW, geometry, kept, 0, self.kv_heads)
            q_BX = functional.linear(normed_TD[read_B], layer.qkv_XD[:own], layer.qkv_bias_X[:own])
            x_TD, geometry = x_TD[read_B], geometry.lasts
            q_THW = turn(q_BX.view(len(read_B), -1, self.head_width), *angles_2SW[:, geometry.position_T])
        heads_TX = attend(q_THW, kept, geometry).reshape(len(x_TD), -1)
        return x_TD.addmm_(heads_TX, layer.out_DX.T)

    def _mlp(self, number: int, layer: Layer, x_TD: Tensor, watcher: Watcher | None) -> None:
        """Adds a layer's MLP to the stream, in place."""
        normed_TD = self.steps.rms_norm(x_TD, layer.mlp_norm_D, self.eps)
        gate_up_TM = functional.linear(normed_TD, layer.gate_up_MD)
        gated = self.steps.gated
        h_TN = watcher.act(number, gate_up_TM, gated) if watcher else gated(gate_up_TM)
        x_TD.addmm_(h_TN, layer.down_DN.T)

    def _angles_up_to(self, slots: int, x_TD: Tensor) -> Tensor:
        """Cosines and sines [2, S, W] of at least `slots` positions."""
        known = self._angles.get(x_TD.device)
        if known is None or known.shape[1] < slots:
            slots = 1 << (slots - 1).bit_length()  # seldom made anew: the GPU that turns may not be the one that asks
            # All three axes of Qwen2.5-Omni's rotary positions are one in a prompt of audio and text.
            both = self._rotary(x_TD[None, :1], torch.arange(slots, device=x_TD.device)[None])
            known = torch.stack([a.reshape(slots, -1) for a in both]).to(x_TD.device)
            self._angles[x_TD.device] = known
        return known


def fuse(linears: Sequence[Any]) -> Tensor:
    """The weights of `linears` one above the other; each module's own becomes a view of its share.

    Those that were fused before, by another engine of the same model, are taken as they are.
    """
    weights: list[Tensor] = [linear.weight.data for linear in linears]
    first, size = weights[0], sum(len(w) for w in weights)
    if all(above.data_ptr() + above.nbytes == below.data_ptr() for above, below in pairwise(weights)) and (
        first.untyped_storage().data_ptr() == weights[-1].untyped_storage().data_ptr()
    ):
        return first.as_strided((size, first.shape[1]), first.stride())
    joined = torch.cat(weights)
    for linear, share in zip(linears, joined.split([len(w) for w in weights]), strict=True):
        linear.weight.data = share
    return joined

"""The rate of matrix products that a chip reaches if it does nothing else, in the model's dtype.

Measured twice: as the best large square product, and as the products of the model's own layers at the token count of a
batch. Both for some seconds, since a GPU's clock drops under load.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from esn_dist.models.audio_lm import AudioLM
from speed.clock import seconds_of

SQUARES = {"cuda": (4_096, 8_192, 16_384), "cpu": (512, 1_024, 2_048)}
Product = tuple[Tensor, Tensor]
"""x [tokens, in] and a weight [out, in]."""


class Ceiling:
    """The products to measure, allocated once.

    Args:
        seconds: minimal length of each measurement.
    """

    def __init__(self, lm: AudioLM, tokens: int, seconds: float) -> None:
        self._seconds = seconds
        self._shapes = layer_products(lm, tokens)
        self.flop_per_token = 2 * sum(p.numel() for layer in layers_of(lm) for p in layer.parameters())
        candidates = {n: square_product(n, lm) for n in SQUARES[lm.device.type]}
        self.side = max(candidates, key=lambda n: rate([candidates[n]], seconds / len(candidates)))
        self._square = candidates[self.side]

    def square(self) -> float:
        """FLOP/s of the best square product."""
        return rate([self._square], self._seconds)

    def shapes(self) -> float:
        """FLOP/s of one decoder layer's products, one after the other."""
        return rate(self._shapes, self._seconds)


def square_product(side: int, lm: AudioLM) -> Product:
    """Two square matrices."""
    x, weight = (torch.randn(side, side, device=lm.device, dtype=lm.dtype) for _ in range(2))
    return x, weight


def layer_products(lm: AudioLM, tokens: int) -> list[Product]:
    """Every linear layer of the first decoder layer, with as many rows as a batch has tokens."""
    weights = [module.weight for module in layers_of(lm)[0].modules() if isinstance(module, nn.Linear)]
    inputs = {w.shape[1]: torch.randn(tokens, w.shape[1], device=lm.device, dtype=lm.dtype) for w in weights}
    return [(inputs[w.shape[1]], w) for w in weights]


def layers_of(lm: AudioLM) -> nn.ModuleList:
    """The decoder's layers."""
    layers = lm.decoder.layers
    assert isinstance(layers, nn.ModuleList)
    return layers


@torch.inference_mode()
def rate(products: list[Product], seconds: float) -> float:
    """FLOP/s of `products`, again and again for about `seconds`."""

    def repeat(times: int) -> None:
        for _ in range(times):
            for x, weight in products:
                linear(x, weight)

    repeat(2)  # picks kernels, allocates
    times = ceil(seconds / seconds_of(lambda: repeat(1)))
    return times * sum(2 * x.shape[0] * w.numel() for x, w in products) / seconds_of(lambda: repeat(times))

"""The token budget of a new store counts the bytes that weights and activations really take."""

from __future__ import annotations

from esn_dist.cluster.profile import LEAST, MOST, token_budget
from esn_dist.models.source import Shape

GB = 2**30
SEVEN = Shape(28, 18_944, 0)


def test_float32_halves_the_batches_of_16_bits() -> None:
    half, full = (token_budget(24 * GB, 8 * GB, SEVEN, number) for number in (2, 4))
    assert LEAST < full == half // 2 < MOST

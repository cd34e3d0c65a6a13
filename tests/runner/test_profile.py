"""The token budget of a new store counts the bytes that weights and activations really take."""

from __future__ import annotations

from esn_dist.models.resolve import GateShape
from esn_dist.runner.profile import MAX_BUDGET, MIN_BUDGET, USABLE_MEMORY, token_budget

GB = 2**30
SEVEN = GateShape(28, 18_944, 0)


def test_float32_halves_the_batches_of_16_bits() -> None:
    half, full = (token_budget(24 * GB, 8 * GB, SEVEN, number) for number in (2, 4))
    assert MIN_BUDGET < full == half // 2 < MAX_BUDGET


def test_gpus_that_share_a_model_get_smaller_batches_so_that_each_has_one() -> None:
    assert token_budget(80 * GB, 18 * GB, SEVEN, 2) == MAX_BUDGET
    assert token_budget(80 * GB, 9 * GB, SEVEN, 2, gpus=2) == MAX_BUDGET // 2
    assert token_budget(80 * GB, 6 * GB, SEVEN, 2, gpus=3) == MAX_BUDGET // 4, "a power of two"


def test_gpus_that_share_a_model_have_one_batch_in_flight_more_than_three_for_each() -> None:
    """16,384 tokens of a layer's pass (four widths) and of three batches' keys and values just fit on one GPU."""
    just = int(16_384 * 2 * (4 + 3 * 28 / 8) * SEVEN.width / USABLE_MEMORY) + 1
    assert [token_budget(just, 0, SEVEN, 2, gpus) for gpus in (1, 2)] == [16_384, 8_192]
    larger = int(just * (4 + 7 * 28 / 16) / (4 + 3 * 28 / 8)) + 1
    assert token_budget(larger, 0, SEVEN, 2, gpus=2) == 16_384

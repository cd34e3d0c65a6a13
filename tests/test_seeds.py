"""Randomness is a function of its meaning: equal on every machine, whatever the order and the other items."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.seeds import digest, generator, shuffled

NAMES = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=20)


def test_a_digest_has_the_value_that_existing_stores_were_written_with() -> None:
    # SHA-256 of ["a",1,null,{"b":[1.5,"é"]}], by sha256sum: another value would change every id of every store.
    assert digest("a", 1, None, {"b": [1.5, "é"]}) == "1e2360eca2d3b92ae5dbcaa6241a028cfe1170c0ade48da113f98e3b53e44e94"


@given(NAMES, st.randoms())
def test_the_order_of_the_input_does_not_change_the_result(names: list[str], random: object) -> None:
    mixed = names[:]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert shuffled(mixed, "seed", 1) == shuffled(names, "seed", 1)


@given(NAMES)
def test_a_missing_item_never_reorders_the_others(names: list[str]) -> None:
    whole = shuffled(names, "seed", 1)
    for missing in names:
        assert shuffled([name for name in names if name != missing], "seed", 1) == [n for n in whole if n != missing]


def test_different_meanings_draw_different_numbers() -> None:
    draws = [generator("mask", seed).random(4) for seed in (0, 1, "0", 0.5, None)]
    assert len({tuple(draw) for draw in draws}) == len(draws)
    assert np.array_equal(generator("mask", 0).random(4), draws[0])

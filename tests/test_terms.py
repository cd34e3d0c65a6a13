"""Terms that are spelled twice, as values and as a type, agree."""

from __future__ import annotations

from typing import get_args

from esn_dist.terms import PARTS, PartName


def test_the_type_of_part_names_lists_the_parts_in_the_order_of_the_store() -> None:
    assert get_args(PartName) == PARTS

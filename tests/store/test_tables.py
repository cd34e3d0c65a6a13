"""Tables by column name: a record that misses a column is refused, and rows survive the round trip."""

from __future__ import annotations

import math

import pytest

from esn_dist.store.tables import CellTable, ExclusionTable

CELL = {
    "id": "c1", "intervention": "steer", "selector": "MAD", "source_corpus": "c", "source_emotion": "joy",
    "fraction": 0.01, "mask_seed": -1, "mask": "m1", "alpha": 0.5, "tau": 2.0,
    "parameters": "", "provider": "",
}  # fmt: skip


def test_records_are_matched_to_columns_by_name_not_by_order() -> None:
    shuffled = dict(reversed(CELL.items()))
    table = CellTable.from_records([CELL, {**shuffled, "id": "c2"}])
    assert table.record(0) == CELL
    assert table.record(1) == {**CELL, "id": "c2"}
    assert list(table.record(1)) == list(CellTable.columns)


def test_an_optional_column_may_be_left_out_and_counts_as_unused_until_a_row_has_a_value() -> None:
    required = {name: value for name, value in CELL.items() if name not in CellTable.optional}
    assert CellTable.from_records([required]) == CellTable.from_records([CELL])
    assert CellTable.from_records([required]).unused() == {"parameters", "provider"}
    assert CellTable.from_records([required, {**CELL, "id": "c2", "provider": "p==1"}]).unused() == {"parameters"}


@pytest.mark.parametrize("unfit", [{"extra": 1}, {"alpha": None}])
def test_a_record_with_a_missing_or_unknown_column_is_refused_by_name(unfit: dict[str, object]) -> None:
    record = {name: value for name, value in {**CELL, **unfit}.items() if value is not None}
    with pytest.raises(ValueError, match=next(iter(unfit))):
        CellTable.from_records([record])


def test_taken_rows_keep_their_order_and_pad_rows_have_no_id() -> None:
    table = CellTable.from_records([CELL, {**CELL, "id": "c2"}]).take([1, None, 0])
    assert table.id == ("c2", "", "c1")
    assert math.isnan(table.fraction[1]) and table.mask_seed[1] == -1


def test_a_table_of_no_records_is_empty() -> None:
    assert ExclusionTable.from_records([]) == ExclusionTable.empty()

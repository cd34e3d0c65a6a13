"""A mask or cell that is written to the store's tables and read back means the same, under the same id."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells
from esn_dist.sweep.interventions import BASELINE, INTERVENTIONS, InterventionParameters
from esn_dist.sweep.keys import Cell, IdentificationSize, MaskKey
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import plan
from esn_dist.sweep.records import (
    cell_of,
    cell_record,
    cell_table,
    mask_of,
    mask_table,
    parameter_columns,
    parameters_of,
    read_mask_keys,
)
from esn_dist.sweep.selectors import FROM_FILE, study_selectors
from esn_dist.terms import PARTS

ROOT = Path(__file__).parents[2]
NAMES = st.text("abcxyz.-_", min_size=1, max_size=6)
JOINED = st.lists(NAMES, min_size=1, max_size=3, unique=True).map("+".join)
FRACTIONS = st.integers(1, 99_999).map(lambda n: Decimal(n) / 100_000)
PROVIDERS = st.sampled_from(["", "package==1.0:0123456789abcdef"])
SIZES: st.SearchStrategy[IdentificationSize] = st.integers(1, 500) | st.just("auto")
COUNTED = st.lists(st.sampled_from(PARTS), min_size=1, unique=True).map(tuple)


@st.composite
def masks(draw: st.DrawFn) -> MaskKey:
    selector = draw(st.sampled_from([*study_selectors(), FROM_FILE, "of-another-package"]))
    fraction, emotion, seed = draw(FRACTIONS), draw(JOINED), draw(st.integers(-1, 9))
    if selector == "RND":
        return MaskKey("model", selector, fraction, emotion=draw(st.just("") | JOINED), seed=seed)
    if selector == FROM_FILE:
        return MaskKey("model", selector, fraction, f"file:{draw(NAMES)}", emotion, seed)
    return MaskKey(
        "model", selector, fraction, draw(JOINED), emotion, seed, draw(SIZES), draw(COUNTED), draw(PROVIDERS)
    )


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    name = draw(st.sampled_from(list(INTERVENTIONS)))
    if name == BASELINE:
        return Cell("model", "corpus")
    values = {parameter.name: draw(st.floats(0.01, 100)) for parameter in INTERVENTIONS[name].parameters}
    parameters = InterventionParameters.of(values)
    return Cell("model", "corpus", draw(masks()), draw(st.floats(-3, 3)), name, parameters, draw(PROVIDERS))


@given(st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False)))
def test_parameters_of_another_package_survive_in_one_text_column(values: dict[str, float]) -> None:
    parameters = InterventionParameters.of(values)
    columns = parameter_columns(parameters)
    assert math.isnan(columns["tau"])
    assert parameters_of(columns) == parameters


@given(st.lists(masks(), max_size=5, unique_by=lambda mask: mask.id))
def test_masks_survive_a_round_trip_through_the_table(keys: list[MaskKey]) -> None:
    table = mask_table(keys, budget=lambda fraction: round(1000 * fraction))
    read = [mask_of("model", table.record(row)) for row in range(len(table))]
    assert read == keys
    assert [mask.id for mask in read] == list(table.id)


@given(st.lists(cells(), max_size=5, unique_by=lambda cell: cell.id))
def test_cells_survive_a_round_trip_through_the_table(given_cells: list[Cell]) -> None:
    known = {mask.id: mask for cell in given_cells for mask in cell.masks[:1]}
    table = cell_table(given_cells)
    read = [cell_of("model", "corpus", table.record(row), known) for row in range(len(table))]
    assert read == given_cells
    assert [cell.id for cell in read] == list(table.id)


def test_every_column_is_written_as_in_the_example_store_which_an_earlier_version_wrote() -> None:
    folder, model = StoreFolder(ROOT / "store" / "example"), "tiny-qwen2.5-omni"
    keys, table = read_mask_keys(folder, model), read_cells(folder, model, "studio")
    for row in table.row_by_id().values():
        stored = table.record(row)
        written = cell_record(cell_of(model, "studio", stored, keys))
        # By text, in which NaN equals NaN.
        assert {name: str(value) for name, value in written.items()} == {n: str(v) for n, v in stored.items()}
    assert {*table.selector} > {"RND"} and any(table.source_emotion)


def test_the_example_store_s_rows_still_hash_to_their_ids() -> None:
    folder, model = StoreFolder(ROOT / "store" / "example"), "tiny-qwen2.5-omni"
    keys = read_mask_keys(folder, model)
    assert all(id == mask.id for id, mask in keys.items())
    table = read_cells(folder, model, "studio")
    rows = table.row_by_id()
    assert len(rows) == 7 and list(rows)[:2] == ["34a7a3eac95cfcc1", "0a6fbcbfd6948ee7"]
    assert all(id == cell_of(model, "studio", table.record(row), keys).id for id, row in rows.items())


def test_rows_of_the_quickstart_hash_to_the_ids_that_its_stores_have() -> None:
    planned = plan(load_sweep(ROOT / "configs" / "quickstart.yaml"))
    masks_by_id = {mask.id: mask for mask in planned.masks}
    model = planned.cells[0].model
    table = cell_table(planned.cells_of(model, "studio"))
    assert planned.masks[0].id == "6295b0da8cb2f10e"
    assert table.id[:3] == ("34a7a3eac95cfcc1", "0a6fbcbfd6948ee7", "c1057f6c45838978")
    for row, id in enumerate(table.id):
        assert cell_of(model, "studio", table.record(row), masks_by_id).id == id


def test_a_store_without_parameters_or_other_packages_has_no_column_for_them() -> None:
    planned = plan(load_sweep(ROOT / "configs" / "quickstart.yaml"))
    assert cell_table(planned.cells[:9]).unused() == {"parameters", "provider"}
    assert mask_table(planned.masks, budget=int).unused() == {"provider"}

"""A selector and a type of intervention that another installed package adds are planned, named and stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from esn_dist.sweep.interventions import INTERVENTIONS, intervention_title
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.records import cell_of, cell_table, mask_of, mask_table
from esn_dist.sweep.selectors import LIKE, SELECTORS, selector_order
from esn_dist.sweep.spec import Sweep

SOURCE = """
from esn_dist.sweep.interventions import InterventionType, Parameter
from esn_dist.sweep.selectors import Selector

def scores(inputs):
    return inputs.probability

TOP = Selector("top-p", "P", "neuron_extras:scores")
JITTER = InterventionType(
    "jitter", "Jitter", "one", "neuron_extras:build",
    parameters=(Parameter("width", "w", "width", 0.25, lambda value: value > 0, "positive"),),
)
"""
ENTRY_POINTS = (
    "[esn_dist.selectors]\ntop-p = neuron_extras:TOP\n[esn_dist.interventions]\njitter = neuron_extras:JITTER\n"
)
METADATA = "Metadata-Version: 2.1\nName: neuron-extras\nVersion: {}\n"


def install(site: Path, version: str = "1.0") -> None:
    """The package as pip leaves it: a module and a folder of metadata."""
    for old in site.glob("*.dist-info"):
        old.rename(site / "uninstalled")
    (site / "neuron_extras.py").write_text(SOURCE, encoding="utf-8")
    metadata = site / f"neuron_extras-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(METADATA.format(version), encoding="utf-8")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    invalidate_caches()
    look_again()


def look_again() -> None:
    """Registries look for entry points once in a process."""
    for registry in (SELECTORS, INTERVENTIONS):
        registry.__dict__.pop("_entry_points", None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path)
    yield tmp_path
    sys.modules.pop("neuron_extras", None)
    monkeypatch.undo()
    look_again()


def study(**axes: Any) -> Plan:
    corpus = {"type": "synthetic", "condition": "studio", "name": "c", "emotions": ["anger", "joy"]}
    given = {"name": "test", "seed": 1, "models": ["tiny-qwen2.5-omni"], "corpora": [corpus], "studies": {"s": axes}}
    return plan(Sweep.model_validate(given))


JITTERED = {"type": "jitter", "alpha": 0.5}


def test_a_study_may_name_them_and_the_random_masks_that_match_the_selector(site: Path) -> None:
    planned = study(selectors=["top-p", "RND-like-top-p"], seeds=1, interventions=[{**JITTERED, "width": [1, 2]}])
    assert [m.selector for m in planned.masks] == ["top-p"] * 2 + ["RND-like-top-p"] * 2
    assert [(c.intervention, c.parameters["width"]) for c in planned.cells[1:3]] == [("jitter", 1.0), ("jitter", 2.0)]
    assert len({c.id for c in planned.cells}) == 1 + 4 * 2
    assert study(selectors=["top-p"], interventions=[JITTERED]).cells[1].parameters["width"] == 0.25


def test_the_version_of_the_package_enters_what_its_masks_and_cells_are(site: Path) -> None:
    axes = {"selectors": ["top-p", "MAD"], "interventions": [JITTERED, "deactivate"]}
    old = study(**axes)
    install(site, version="1.1")
    new = study(**axes)
    assert old.masks[0].provider.startswith("neuron-extras==1.0:")
    for mask, newer_mask in zip(old.masks, new.masks, strict=True):
        assert (mask.id != newer_mask.id) == (mask.selector == "top-p")
    for cell, newer_cell in zip(old.cells, new.cells, strict=True):
        of_the_package = cell.intervention == "jitter" or (cell.mask is not None and cell.mask.selector == "top-p")
        assert (cell.id != newer_cell.id) == of_the_package


def test_their_rows_are_read_back_as_they_were_written_with_columns_of_their_own(site: Path) -> None:
    planned = study(selectors=["top-p"], interventions=[JITTERED])
    masks, cells = mask_table(planned.masks, budget=int), cell_table(planned.cells)
    assert not masks.unused() and not cells.unused()
    model = planned.cells[0].model
    keys = {mask.id: mask for mask in (mask_of(model, masks.record(row)) for row in range(len(masks)))}
    assert list(keys.values()) == list(planned.masks)
    read = tuple(cell_of(model, "c", cells.record(row), keys) for row in range(len(cells)))
    assert read == planned.cells


def test_reports_name_them_after_the_ones_of_this_package(site: Path) -> None:
    (cell, *_) = study(selectors=["top-p"], interventions=[JITTERED]).cells[1:]
    assert intervention_title("jitter", 0.5, cell.parameters) == "Jitter, α = 0.5, w = 0.25"
    assert intervention_title("not-installed-here", 0.5, cell.parameters) == "not-installed-here, α = 0.5, width = 0.25"
    names = ["unknown", "file", LIKE + "LAP", "top-p", "LAPE-filtered", "RND"]
    assert sorted(names, key=selector_order) == names[::-1]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"interventions": [{**JITTERED, "width": 0}]}, "a width must be positive"),
        ({"interventions": [{**JITTERED, "widht": 1}]}, "unknown key widht"),
        ({"interventions": [{"type": "steer", "alpha": 1, "width": 1}]}, "only jitter has a width"),
        ({"interventions": [JITTERED], "selectors": ["top-q"]}, "unknown selector 'top-q'"),
        ({"interventions": [{**JITTERED, "width": "wide"}]}, "valid number"),
    ],
)
def test_a_value_or_a_name_that_they_do_not_allow_is_refused(site: Path, axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        study(**axes)

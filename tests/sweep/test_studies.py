"""Every table and figure of the paper is a study; shared cells run once; no id ever changes."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from esn_dist.seeds import digest
from esn_dist.sweep.forecast import forecast
from esn_dist.sweep.interventions import CO_STEER, STEER, UNION
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.selectors import matched_selector
from esn_dist.sweep.spec import Sweep

CONFIGS = Path(__file__).parents[2] / "configs"
FIVE = ("anger", "joy", "neutral", "sadness", "surprise")


def study(**axes: Any) -> Plan:
    """The plan of one study `s` on two corpora: `one` (five emotions) and `two` (frustration instead of surprise)."""
    corpus = {"type": "synthetic", "condition": "studio", "identification": {"size": 30}}
    corpora = [
        {**corpus, "name": "one", "emotions": FIVE},
        {**corpus, "name": "two", "emotions": ("anger", "frustration", "joy", "neutral", "sadness")},
    ]
    given = {"name": "test", "seed": 1, "models": ["tiny-qwen2.5-omni"], "corpora": corpora, "studies": {"s": axes}}
    return plan(Sweep.model_validate(given))


def on_one(planned: Plan) -> list[Cell]:
    """The study's cells on corpus `one` without the baseline."""
    return [c for c in planned.cells_of("tiny-qwen2.5-omni", "one") if c.mask]


def test_ids_of_what_stores_hold_already_never_change() -> None:
    """Hashes of the quickstart's plan as it was before any of these studies; a change here orphans every store."""
    planned = plan(load_sweep(CONFIGS / "quickstart.yaml"))
    assert digest([c.id for c in planned.cells]).startswith("5893f9ee7dc05197")
    assert digest([m.id for m in planned.masks]).startswith("4ab18aeffecb6fd1")


def test_the_paper_has_a_study_for_every_table_and_figure() -> None:
    assert list(load_sweep(CONFIGS / "paper.yaml").studies) == [
        "table1", "table2", "figure1", "figure2abc", "figure2d", "figure3", "figure4", "figure5", "table4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "cells", "new"),
    [
        ("table1", 9 * (1 + 2 * (5 + 4 * 5)), None),
        # Per α: 5 steering cells of ConAct, mix, union; RND's 5 seeds of each of the three.
        ("table2", 9 * (1 + 3 * (5 + 1 + 1 + 3 * 5)), 9 * (3 * (5 + 1 + 1 + 3 * 5) - 10)),
        ("figure1", 3 * (1 + 4 * 5), 0),
        ("figure2abc", 1 + 4 * 5, 3 * 5),
        ("figure2d", 1 + 7 * 5, 7 * 5),
        ("figure3", 1 + 4 * 5, 5),
        ("figure4", 0, 0),
        ("figure5", 3 * (1 + 3 * 5), 6 * 5),
        ("table4", 0, 0),
    ],
)
def test_the_paper_s_studies_have_the_cells_that_their_axes_say_and_share_them(
    name: str, cells: int, new: int | None
) -> None:
    study_forecast = {s.name: s for s in forecast(load_sweep(CONFIGS / "paper.yaml")).studies}[name]
    assert study_forecast.cells == cells
    assert study_forecast.cells - study_forecast.shared == (cells if new is None else new)


def test_figure_4_and_table_4_need_masks_and_no_answer() -> None:
    planned = plan(load_sweep(CONFIGS / "paper.yaml"))
    masks = set(planned.selected["table1"])
    for name in ("figure4", "table4"):
        assert not planned.studies[name]
        assert planned.selected[name] and masks >= set(planned.selected[name])


def test_a_study_of_masks_alone_still_selects_them() -> None:
    planned = study(selectors=["MAD"], interventions=[])
    assert not planned.cells
    assert [(m.corpus, m.emotion) for m in planned.masks][:5] == [("one", e) for e in FIVE]
    assert len(planned.masks) == 10


def test_two_pass_asks_for_the_steering_cells_and_no_other() -> None:
    axes: dict[str, Any] = {"selectors": ["RND", "ConAct"]}
    steer = study(**axes, interventions=[{"type": "steer", "alpha": [0.1, 1]}])
    assert study(**axes, interventions=[{"type": "two-pass", "alpha": [0.1, 1]}]) == steer


def test_mix_weighs_the_masks_of_all_emotions_and_has_a_cell_per_gain_and_temperature() -> None:
    planned = study(selectors=["ConAct"], interventions=[{"type": "mix", "alpha": [0.3, 1], "tau": [0.1, 0.5]}])
    cells = on_one(planned)
    assert [(c.alpha, c.parameters["tau"]) for c in cells] == [(0.3, 0.1), (0.3, 0.5), (1.0, 0.1), (1.0, 0.5)]
    assert len({c.id for c in cells}) == 4
    for cell in cells:
        assert [m.emotion for m in cell.masks] == ["+".join(FIVE), *FIVE]
        assert cell.intervention == "mix" and cell.source_emotion == ""
        assert set(cell.masks) <= set(planned.masks)


def test_mix_has_the_paper_s_temperature_by_default() -> None:
    (cell,) = on_one(study(selectors=["MAD"], interventions=[{"type": "mix", "alpha": 1}]))
    assert cell.parameters["tau"] == 0.5


def test_a_union_steers_one_mask_of_all_emotions() -> None:
    (cell,) = on_one(study(selectors=["ConAct"], interventions=[{"type": "union", "alpha": 0.3}]))
    assert cell.mask and cell.mask.emotion == "+".join(FIVE)
    assert cell.masks == (cell.mask,)
    assert cell.mask.emotion_masks == tuple(replace(cell.mask, emotion=e) for e in FIVE)


def test_rnd_controls_mix_and_union_with_independent_draws_per_seed() -> None:
    interventions = [{"type": "mix", "alpha": 1}, {"type": "union", "alpha": 1}]
    cells = on_one(study(selectors=["RND"], seeds=3, interventions=interventions))
    assert [c.intervention for c in cells] == ["mix", "union"] * 3
    emotion_draws = {mask.id for c in cells for mask in c.mask.emotion_masks if c.mask}  # type: ignore[union-attr]
    assert len(emotion_draws) == 3 * 5
    single = {c.mask.id for c in on_one(study(selectors=["RND"], interventions=["deactivate"])) if c.mask}
    assert not emotion_draws & single


def test_pairs_are_all_pairs_and_one_for_rnd() -> None:
    interventions = ["co-deactivate", {"type": "co-steer", "alpha": 0.3}]
    cells = on_one(study(selectors=["ConAct"], interventions=interventions))
    pairs = ["+".join(pair) for pair in combinations(FIVE, 2)]
    for kind, alpha in (("co-deactivate", -1.0), ("co-steer", 0.3)):
        of_kind = [c for c in cells if c.intervention == kind]
        assert [c.source_emotion for c in of_kind] == pairs
        assert {c.alpha for c in of_kind} == {alpha}
    random = on_one(study(selectors=["RND"], seeds=2, interventions=interventions))
    assert len(random) == 2 * 2
    assert {c.source_emotion for c in random} == {""}


def test_a_corpus_of_two_emotions_tells_its_only_pair_from_its_union() -> None:
    mask = MaskKey("m", "MAD", Decimal("0.1"), "c", "anger+joy")
    ids = {Cell("m", "c", mask, 0.3, intervention).id for intervention in (UNION, CO_STEER, STEER)}
    assert len(ids) == 3


def test_layer_matched_masks_belong_to_an_emotion_and_a_seed() -> None:
    cells = on_one(study(selectors=["RND-like-ConAct"], seeds=2, interventions=["deactivate"]))
    meanings = [(c.mask.emotion, c.mask.seed, c.mask.corpus) for c in cells if c.mask]
    assert meanings == [(e, s, "one") for s in (0, 1) for e in FIVE]
    assert matched_selector("RND-like-ConAct") == "ConAct" and matched_selector("RND") == ""


def test_sizes_and_parts_are_axes_and_default_to_the_corpus_s() -> None:
    plain = on_one(study(selectors=["MAD"], interventions=["deactivate"]))
    assert {(c.mask.size, c.mask.parts) for c in plain if c.mask} == {(30, ("audio", "text", "generated"))}
    axes = study(selectors=["MAD"], sizes=[10, "auto"], parts=["text+audio", "audio"], interventions=["deactivate"])
    axes_of_masks = {(c.mask.size, c.mask.parts) for c in on_one(axes) if c.mask}
    assert axes_of_masks == {(s, p) for s in (10, "auto") for p in (("audio", "text"), ("audio",))}
    same = study(selectors=["MAD"], sizes=30, parts="generated+text+audio", interventions=["deactivate"])
    assert on_one(same) == plain


def test_pooled_sources_have_the_emotions_that_all_of_them_have() -> None:
    planned = study(selectors=["MAD"], corpora=["one"], sources=["two+one"], interventions=["deactivate"])
    masks = [c.mask for c in on_one(planned) if c.mask]
    assert [m.emotion for m in masks] == ["anger", "joy", "neutral", "sadness"]
    assert {(m.corpus, m.sources, m.size) for m in masks} == {("two+one", ("two", "one"), "auto")}


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"interventions": ["steer"]}, "steer needs `alpha`"),
        ({"interventions": [{"type": "co-deactivate", "alpha": 1}]}, "co-deactivate takes no `alpha`"),
        ({"interventions": [{"type": "mix", "alpha": -0.5}]}, "gains of mix must be positive"),
        ({"interventions": [{"type": "mix", "alpha": 1, "tau": 0}]}, "a temperature must be positive"),
        ({"interventions": [{"type": "union", "alpha": 1, "tau": 1}]}, "only mix has a temperature"),
        ({"interventions": ["baseline"]}, "has the baseline already"),
        ({"interventions": [], "sizes": [0]}, "greater than or equal to 1"),
        ({"interventions": [], "parts": ["audio+speech"]}, "'audio', 'text' or 'generated'"),
        ({"interventions": [], "sources": ["one+three"]}, "unknown name 'three' in sources"),
        ({"interventions": [], "sources": ["one+one"]}, "names a corpus twice"),
        ({}, "Field required"),
    ],
)
def test_a_study_without_a_meaning_is_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        study(**axes)
    assert message in str(raised.value)


def test_negative_gains_are_doses_too() -> None:
    planned = study(selectors=["MAD"], interventions=["deactivate", {"type": "steer", "alpha": [-2, -0.5, 0.5]}])
    assert {c.alpha for c in on_one(planned)} == {-2.0, -1.0, -0.5, 0.5}
    assert {c.intervention for c in on_one(planned) if c.alpha == -2} == {"steer"}


def test_studies_beyond_the_paper_share_its_store() -> None:
    paper, beyond = (load_sweep(CONFIGS / f"{name}.yaml") for name in ("paper", "beyond"))
    assert beyond.store == paper.store
    for part in ("seed", "max_new_tokens", "models", "corpora"):
        assert getattr(beyond, part) == getattr(paper, part)
    assert set(plan(paper).cells) & set(plan(beyond).cells)


def test_the_plan_of_the_paper_takes_under_two_seconds_with_the_interpreter_s_start() -> None:
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "esn_dist", "plan", str(CONFIGS / "paper.yaml")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: what somebody else does on this machine is not ours.
    assert ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime < 2
    assert "figure3: 21 cells, 5 masks, 21,000 answers (16 cells shared with table1, table2)" in output

"""Corrections against statsmodels; families do not leak into each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from esn_dist.analysis.multiple_testing import benjamini_hochberg, holm
from esn_dist.analysis.significance import CELL, ENTRY, GAP, significance

P = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.04, 1.0]), min_size=1, max_size=40)


@settings(max_examples=30)
@given(p=P)
def test_corrected_p_values_equal_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)


def test_no_test_needs_no_correction() -> None:
    assert holm([]) == benjamini_hochberg([]) == []


def test_each_family_is_named_and_corrected_separately(build: Any) -> None:
    sweeps = [build.random(1), build.random(2, corpus="room")]
    tests = significance(sweeps)
    names = {verdict.family for verdict in tests}
    assert names == {
        f"tiny on {corpus}, deactivate: {question}" for corpus in ("studio", "room") for question in (CELL, ENTRY, GAP)
    }
    assert [v for v in tests if v.corpus == "studio"] == significance(sweeps[:1])
    for name in names:
        family = [verdict for verdict in tests if verdict.family == name]
        p = [verdict.p for verdict in family if verdict.p is not None]
        assert [verdict.holm for verdict in family] == pytest.approx(list(multipletests(p, method="holm")[1]))


def test_every_cell_has_one_test_per_emotion_and_one_of_all_and_rnd_has_no_gap(build: Any) -> None:
    tests = significance([build.random(1)])
    by_question = {question: [v for v in tests if v.question == question] for question in (CELL, ENTRY, GAP)}
    assert {question: len(verdicts) for question, verdicts in by_question.items()} == {CELL: 5, ENTRY: 15, GAP: 1}
    assert by_question[GAP][0].condition.selector == "ConAct" and by_question[GAP][0].assignment_p is not None
    assert sorted(v.mask_seed for v in by_question[CELL] if v.condition.selector == "RND") == [0, 1]


def test_what_cannot_be_tested_has_no_p_value_and_leaves_its_family(build: Any) -> None:
    labels = ["anger", "joy"]
    cells = [
        build.baseline(labels),
        build.cell(["", ""], source_emotion="joy"),
        build.cell(["joy", "joy"], source_emotion="anger"),
    ]
    tests = [v for v in significance([build.dataset(labels, cells)]) if v.question == CELL]
    assert [(v.p, v.holm, v.bh) for v in tests] == [(None, None, None), (1.0, 1.0, 1.0)]


def test_random_masks_of_several_seeds_have_one_gap_each(build: Any) -> None:
    """RND-like masks follow an emotion's mask, so they have both a source emotion and a seed."""
    labels = ["anger", "joy"] * 6
    drawn = [build.cell(labels, source_emotion=e, mask_seed=seed) for e in ("anger", "joy") for seed in (0, 1)]
    tests = significance([build.dataset(labels, [build.baseline(labels), *drawn])])
    assert [(v.mask_seed, v.pairs) for v in tests if v.question == GAP] == [(0, 12), (1, 12)]

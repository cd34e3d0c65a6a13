"""Exact McNemar against statsmodels, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from esn_dist.analysis.mcnemar import Flips, flips
from esn_dist.analysis.trials import read_trials

A, J = "anger", "joy"


@given(lost=st.integers(0, 80), gained=st.integers(0, 80), same=st.integers(0, 50))
def test_p_equals_statsmodels_exact_mcnemar(lost: int, gained: int, same: int) -> None:
    pairs = lost + gained + same
    p = Flips(lost, gained, pairs).p
    if not pairs:
        assert p is None
    elif not lost + gained:
        assert p == 1.0
    else:
        assert p == pytest.approx(mcnemar([[same, lost], [gained, 0]], exact=True).pvalue)


def test_flips_are_counted_against_the_baseline_and_a_missing_answer_removes_the_pair(build: Any) -> None:
    labels = [A, A, A, A, J, J, J, J]
    before = build.baseline([A, A, J, "nan", J, A, J, A])
    now = build.cell([A, J, A, A, "?", J, "unreadable", A], source_emotion=A)
    trials = read_trials(build.dataset(labels, [before, now]))
    assert flips(trials, 1) == (2, 2, 6)
    assert flips(trials, 1, trials.label == 0) == (1, 1, 3)
    assert flips(trials, 1, trials.label == 0).effect == 0.0


def test_nothing_answered_has_no_p_value_and_no_effect(build: Any) -> None:
    cells = [build.baseline([A, J]), build.cell(["", "nan"], source_emotion=A)]
    flipped = flips(read_trials(build.dataset([A, J], cells)), 1)
    assert (flipped.p, flipped.effect) == (None, None)


def test_p_is_valid_under_no_effect() -> None:
    random = np.random.default_rng(0)
    gained = random.binomial(40, 0.5, 2000)
    p = np.array([Flips(40 - int(count), int(count), 200).p for count in gained])
    assert (p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)

"""Cells of two joined emotions: both are self, the others cross; either counts as the source that is answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esn_dist.analysis.bootstrap import resample
from esn_dist.analysis.effects import accuracy_changes, contrast
from esn_dist.analysis.interaction import interaction_matrix, interactions
from esn_dist.analysis.margin import source_answer_changes
from esn_dist.analysis.measured_effects import EffectSettings, measure
from esn_dist.analysis.summary import effect_rows
from esn_dist.analysis.trials import Trials, emotions_of, read_trials

EMOTIONS = ("anger", "joy", "neutral")
A, J, N = EMOTIONS
LABELS = [A, A, J, J, N, N]


def dataset(build: Any) -> Any:
    """anger+joy loses one of anger and both of joy to neutral, and wins nothing; joy+neutral loses one anger to joy."""
    cells = [
        build.baseline(LABELS),
        *(build.cell(LABELS, source_emotion=emotion) for emotion in EMOTIONS),
        build.cell([N, A, N, N, N, N], "co-deactivate", source_emotion=f"{A}+{J}"),
        build.cell([J, A, J, J, N, N], "co-deactivate", source_emotion=f"{J}+{N}"),
    ]
    return build.dataset(LABELS, cells, emotions=EMOTIONS)


@pytest.fixture
def trials(build: Any) -> Trials:
    return read_trials(dataset(build))


def test_self_is_over_both_emotions_of_a_pair_and_cross_over_the_others(trials: Trials) -> None:
    pairs = trials.groups[1]
    changes = accuracy_changes(trials, pairs, resample(trials.label, 3, draws=0))
    effects = contrast(changes, pairs, trials.emotions)
    # anger+joy: anger -50, joy -100, neutral 0. joy+neutral: joy 0, neutral 0, anger -50.
    assert effects.within[0] == pytest.approx((-50 - 100 + 0 + 0) / 4)
    assert effects.across[0] == pytest.approx((0 - 50) / 2)


def test_answers_of_either_emotion_count_as_the_source_s(trials: Trials) -> None:
    rates = source_answer_changes(trials, trials.groups[1], resample(trials.label, 3, draws=0))[:, :, 0]
    np.testing.assert_allclose(rates, [[-50, -100, 0], [50, 0, 0]])


def test_a_pair_with_an_emotion_that_is_missing_in_the_corpus_is_left_out(build: Any) -> None:
    cells = [build.baseline(LABELS), build.cell([N] * 6, "co-deactivate", source_emotion="anger+fear")]
    trials = read_trials(build.dataset(LABELS, cells, emotions=EMOTIONS))
    changes = accuracy_changes(trials, trials.groups[0], resample(trials.label, 3, draws=0))
    assert np.isnan(contrast(changes, trials.groups[0], trials.emotions).within).all()


def test_the_row_of_pairs_names_their_emotions(build: Any) -> None:
    row = next(
        r
        for r in effect_rows([measure(dataset(build), EffectSettings(draws=20))])
        if r.condition.intervention == "co-deactivate"
    )
    assert row.sources == EMOTIONS
    assert row.self_effect.point == pytest.approx(-37.5) and row.cross_effect.point == pytest.approx(-25)


def test_the_matrix_is_the_mean_over_the_pair_s_own_and_over_the_other_emotions(trials: Trials) -> None:
    matrix = interaction_matrix(interactions(trials, trials.groups[1], resample(trials.label, 3, 1, draws=30)))
    pair = matrix.sel(first=A, second=J)
    assert float(pair.pair_emotions.sel(bound="point")) == pytest.approx(-75)
    assert float(pair.other_emotions.sel(bound="point")) == pytest.approx(0)
    assert float(pair.pair_emotions.sel(bound="low")) <= -75 <= float(pair.pair_emotions.sel(bound="high"))
    assert (
        matrix.pair_emotions.sel(first=A, second=A).isnull().all()
        and matrix.pair_emotions.sel(first=A, second=N).isnull().all()
    )


def test_a_source_is_one_emotion_two_or_none() -> None:
    assert [emotions_of(source) for source in ("joy", "anger+joy", "")] == [("joy",), ("anger", "joy"), ()]

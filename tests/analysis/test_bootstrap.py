"""The bootstrap against loops, against scipy, and against what an interval promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from esn_dist.analysis.bootstrap import Estimate, Resample, estimate, resample
from esn_dist.analysis.effects import accuracy_changes, contrast
from esn_dist.analysis.trials import read_trials


def test_every_draw_equals_the_effect_on_a_literally_resampled_dataset(build: Any) -> None:
    answers = build.random(3)
    trials = read_trials(answers)
    sample = resample(trials.label, 3, 0, "studio", draws=6)
    drawn = accuracy_changes(trials, trials.groups[0], sample)
    for draw in range(7):
        rows = _utterances(sample, draw)
        literal = read_trials(answers.isel(utterance=rows))
        unresampled = resample(literal.label, 3, draws=0)
        expected = accuracy_changes(literal, literal.groups[0], unresampled)[:, :, 0]
        np.testing.assert_allclose(drawn[:, :, draw], expected)


def test_draws_keep_every_emotion_s_number_and_repeat() -> None:
    label = np.array([0, 1, 0, 1, 1])
    sample, again = (resample(label, 2, 5, "studio", draws=50) for _ in range(2))
    assert (sample.weights[0].sum(axis=1) == 2).all() and (sample.weights[1].sum(axis=1) == 3).all()
    assert (sample.weights[0][0] == 1).all()
    np.testing.assert_array_equal(sample.weights[1], again.weights[1])
    assert (resample(label, 2, 6, "studio", draws=50).weights[1] != sample.weights[1]).any()


def test_intervals_agree_with_scipy() -> None:
    random = np.random.default_rng(1)
    change = random.choice([-1.0, 0.0, 1.0], 60, p=[0.3, 0.6, 0.1])
    sample = resample(np.zeros(60, int), 1, 0, draws=5000)
    ours = estimate(sample.means(change[None], np.ones((1, 60), bool))[0, 0])
    theirs = stats.bootstrap((change,), np.mean, n_resamples=5000, method="percentile", rng=random).confidence_interval
    assert ours == pytest.approx((change.mean(), theirs.low, theirs.high), abs=0.02)


def test_a_cell_equal_to_the_baseline_has_an_interval_of_no_width(build: Any) -> None:
    """Paired: were cell and baseline resampled apart, the interval would be as wide as that of an accuracy."""
    labels = ["anger", "joy"] * 20
    mixed = ["anger", "anger", "joy", "joy"] * 10
    cells = [build.baseline(mixed), *(build.cell(mixed, source_emotion=emotion) for emotion in ("anger", "joy"))]
    trials = read_trials(build.dataset(labels, cells))
    changes = accuracy_changes(trials, trials.groups[0], resample(trials.label, 2, 0, draws=200))
    assert estimate(contrast(changes, trials.groups[0], trials.emotions).gap) == Estimate(0.0, 0.0, 0.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(2)
    label = np.repeat(np.arange(3), 40)
    truth, covered = -0.2, 0
    for trial in range(200):
        change = random.choice([-1.0, 0.0, 1.0], (1, 120), p=[0.3, 0.6, 0.1])
        drawn = resample(label, 3, trial, draws=400).means(change, np.ones((1, 120), bool))[0].mean(axis=0)
        _, low, high = estimate(drawn)
        assert low is not None and high is not None
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_speakers_are_drawn_with_all_their_utterances() -> None:
    label = np.array([0, 1, 0, 1, 0, 1])
    speaker = np.array(["a", "a", "b", "b", "c", "c"])
    sample = resample(label, 2, 0, draws=30, clusters=speaker)
    np.testing.assert_array_equal(sample.weights[0], sample.weights[1])
    assert (sample.weights[0].sum(axis=1) == 3).all()


def test_draws_without_any_utterance_of_a_label_are_left_out_not_zero() -> None:
    label = np.array([0, 0, 1, 1])
    sample = resample(label, 2, 0, draws=300, clusters=np.array(["a", "a", "b", "b"]))
    means = sample.means(np.array([[1.0, 1.0, 5.0, 5.0]]), np.ones((1, 4), bool))
    assert np.isnan(means).any()
    assert estimate(means[0, 1]) == Estimate(5.0, 5.0, 5.0)


def test_clustered_intervals_are_wider_where_speakers_differ() -> None:
    random = np.random.default_rng(4)
    speaker = np.repeat(np.arange(10), 20).astype(str)
    change = np.repeat(random.normal(0, 1, 10), 20)[None] + random.normal(0, 0.1, (1, 200))
    width = {}
    for name, clusters in (("utterances", None), ("speakers", speaker)):
        sample = resample(np.zeros(200, int), 1, 0, draws=500, clusters=clusters)
        _, low, high = estimate(sample.means(change, np.ones((1, 200), bool))[0, 0])
        assert low is not None and high is not None
        width[name] = high - low
    assert width["speakers"] > 2 * width["utterances"]


def test_nothing_usable_is_undefined_not_a_number() -> None:
    sample = resample(np.zeros(3, int), 1, 0, draws=10)
    assert estimate(sample.means(np.ones((1, 3)), np.zeros((1, 3), bool))[0, 0]) == Estimate(None, None, None)


def _utterances(sample: Resample, draw: int) -> np.ndarray:
    counts = zip(sample.rows, sample.weights, strict=True)
    return np.concatenate([np.repeat(rows, weights[draw].astype(int)) for rows, weights in counts])

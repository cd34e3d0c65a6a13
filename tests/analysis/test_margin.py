"""The continuous readout sees what no answer shows; the bias of steering is counted where it moves to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esn_dist.analysis.bootstrap import resample
from esn_dist.analysis.effects import contrast
from esn_dist.analysis.margin import margin_changes, margins, source_answer_changes
from esn_dist.analysis.trials import Trials, read_trials

A, J, N = "anger", "joy", "neutral"


def _unresampled(trials: Trials) -> Any:
    return resample(trials.label, len(trials.emotions), draws=0)


def test_a_margin_is_the_true_option_against_the_best_of_the_others(build: Any) -> None:
    logprob = np.log([[[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]])
    trials = read_trials(build.dataset([A, N], [build.baseline([A, A])], emotions=(A, J, N), logprob=logprob))
    np.testing.assert_allclose(margins(trials), np.log([[0.5 / 0.3, 0.2 / 0.5]]), rtol=1e-6)


def test_a_change_that_flips_no_answer_is_seen(build: Any) -> None:
    cells = [build.baseline([A, J]), build.cell([A, J], source_emotion=A), build.cell([A, J], source_emotion=J)]
    p = np.array([[[0.8, 0.2], [0.2, 0.8]], [[0.6, 0.4], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]]])
    trials = read_trials(build.dataset([A, J], cells, logprob=np.log(p)))
    changes = margin_changes(trials, trials.groups[0], _unresampled(trials), margins(trials))
    result = contrast(changes, trials.groups[0], trials.emotions)
    expected = (np.log(1.5) - np.log(4) + np.log(7 / 3) - np.log(4)) / 2
    assert result.within[0] == pytest.approx(expected, rel=1e-6)
    assert result.across[0] == pytest.approx(0, abs=1e-6)


def test_a_log_probability_that_is_no_number_leaves_the_mean(build: Any) -> None:
    logprob = np.log(np.full((2, 3, 2), 0.5))
    logprob[1, 0, 0] = np.log(0.25)
    logprob[1, 1] = np.nan
    logprob[1, 2, 1] = -np.inf
    cells = [build.baseline([A, A, A]), build.cell([A, A, A], source_emotion=A)]
    trials = read_trials(build.dataset([A, A, A], cells, logprob=logprob))
    changes = margin_changes(trials, trials.groups[0], _unresampled(trials), margins(trials))
    assert changes[0, 0, 0] == pytest.approx(-np.log(2), rel=1e-6)


def test_an_answer_that_cannot_be_parsed_still_has_a_margin_and_an_unreadable_clip_none(build: Any) -> None:
    trials = read_trials(build.dataset([A, A], [build.baseline(["?", "unreadable"])]))
    assert np.isfinite(margins(trials)).tolist() == [[True, False]]


def test_steering_that_moves_the_others_to_its_emotion_is_seen(build: Any) -> None:
    labels = [A, A, J, J, N, N]
    anger = build.cell([A, A, A, A, A, N], "steer", source_emotion=A, alpha=0.3)  # 2 of 2 joy, 1 of 2 neutral
    trials = read_trials(build.dataset(labels, [build.baseline([A, A, J, A, N, N]), anger], emotions=(A, J, N)))
    changes = source_answer_changes(trials, trials.groups[0], _unresampled(trials))[0, :, 0]
    assert changes.tolist() == [0.0, 50.0, 50.0]

"""Effects by hand: self, cross, gap; what is lost never becomes a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esn_dist.analysis.bootstrap import resample
from esn_dist.analysis.effects import accuracy_changes, contrast
from esn_dist.analysis.trials import Trials, read_trials

A, J = "anger", "joy"
LABELS = [A, A, A, A, J, J, J, J]
RIGHT = list(LABELS)


def effect_matrix(trials: Trials) -> xr.DataArray:
    """Δ[source, evaluation] of the first group, in percentage points; NaN where nothing is paired."""
    group = trials.groups[0]
    changes = accuracy_changes(trials, group, resample(trials.label, len(trials.emotions), draws=0))[:, :, 0]
    coords = {"source": list(group.sources), "evaluation": list(trials.emotions)}
    return xr.DataArray(changes, dims=("source", "evaluation"), coords=coords)


def _changes(trials: Trials, group: int = 0) -> tuple[float, float, float]:
    unresampled = resample(trials.label, len(trials.emotions), draws=0)
    changes = accuracy_changes(trials, trials.groups[group], unresampled)
    result = contrast(changes, trials.groups[group], trials.emotions)
    return result.within[0], result.across[0], result.gap[0]


def test_planted_effects_by_hand(build: Any) -> None:
    anger = build.cell([J, J, A, A, J, J, J, A], source_emotion=A)  # 2 of 4 anger, 1 of 4 joy lost
    joy = build.cell([A, A, A, A, A, A, A, J], source_emotion=J)  # 0 of 4 anger, 3 of 4 joy lost
    trials = read_trials(build.dataset(LABELS, [joy, build.baseline(RIGHT), anger]))
    assert _changes(trials) == pytest.approx((-62.5, -12.5, -50.0))
    matrix = effect_matrix(trials)
    assert matrix.sel(source=A).values.tolist() == [-50.0, -25.0]
    assert matrix.sel(source=J, evaluation=J) == -75.0


def test_rnd_is_the_mean_over_emotions_and_seeds_and_has_no_gap(build: Any) -> None:
    seeds = [[J, A, A, A, J, J, J, J], [A, A, A, A, A, A, A, J]]  # -25 and 0; 0 and -75
    cells = [build.cell(answers, selector="RND", source_corpus="", mask_seed=i) for i, answers in enumerate(seeds)]
    trials = read_trials(build.dataset(LABELS, [build.baseline(RIGHT), *cells]))
    within, across, gap = _changes(trials)
    assert within == pytest.approx(-25.0)
    assert np.isnan(across) and np.isnan(gap)


@pytest.mark.parametrize("lost", ["unreadable", "nan", ""])
def test_a_missing_answer_removes_the_pair_and_is_not_wrong(build: Any, lost: str) -> None:
    cells = [build.baseline([A, A, A, lost, J, J, J, J]), build.cell([J, lost, A, A, *RIGHT[4:]], source_emotion=A)]
    trials = read_trials(build.dataset(LABELS, cells))
    matrix = effect_matrix(trials)
    assert matrix.sel(source=A).values.tolist() == [-50.0, 0.0]  # pairs left: first (lost) and third (kept)


def test_an_answer_that_cannot_be_parsed_is_wrong(build: Any) -> None:
    cells = [build.baseline(RIGHT), build.cell([A, A, A, "?", *RIGHT[4:]], source_emotion=A)]
    trials = read_trials(build.dataset(LABELS, cells))
    assert effect_matrix(trials).values.tolist() == [[-25.0, 0.0]]


def test_an_answer_that_cannot_be_parsed_can_be_left_out_instead(build: Any) -> None:
    cells = [build.baseline([*RIGHT[:7], "?"]), build.cell([J, A, A, "?", *RIGHT[4:]], source_emotion=A)]
    trials = read_trials(build.dataset(LABELS, cells), invalid_is_wrong=False)
    np.testing.assert_allclose(effect_matrix(trials).values, [[-100 / 3, 0.0]])


def test_a_cell_that_was_never_run_is_undefined_and_so_is_every_mean_over_it(build: Any) -> None:
    cells = [build.baseline(RIGHT), build.cell(RIGHT, source_emotion=A), build.cell([""] * 8, source_emotion=J)]
    within, across, gap = _changes(read_trials(build.dataset(LABELS, cells)))
    assert np.isnan([within, across, gap]).all()


def test_transfer_compares_the_shared_emotions_only(build: Any) -> None:
    emotions = (A, J, "surprise")
    labels = [A, A, J, J, "surprise", "surprise"]
    masks = {A: [J, A, J, J, A, A], J: [A, A, A, A, J, J], "frustration": [J, J, A, A, J, J]}
    cells = [build.baseline(labels)]
    cells += [build.cell(answers, source_emotion=source, source_corpus="room") for source, answers in masks.items()]
    within, across, _ = _changes(read_trials(build.dataset(labels, cells, emotions=emotions)))
    assert within == pytest.approx((-50.0 - 100.0) / 2)
    assert across == 0.0


def test_conditions_are_kept_apart_by_gain_fraction_and_source_corpus(build: Any) -> None:
    cells = [build.baseline(RIGHT), build.cell(RIGHT, source_emotion=A)]
    others = ({"alpha": 0.3}, {"fraction": 0.2}, {"source_corpus": "room"}, {"selector": "MAD"})
    cells += [build.cell(RIGHT, source_emotion=A)._replace(**other) for other in others]
    assert len(read_trials(build.dataset(LABELS, cells)).groups) == 5


def test_no_baseline_or_two_are_refused(build: Any) -> None:
    for cells in ([build.cell(RIGHT, source_emotion=A)], [build.baseline(RIGHT)] * 2):
        with pytest.raises(ValueError, match=f"{len(cells) if len(cells) == 2 else 0} baseline cells"):
            read_trials(build.dataset(LABELS, cells))


def test_two_cells_of_one_meaning_are_not_averaged(build: Any) -> None:
    cells = [build.baseline(RIGHT), *[build.cell(RIGHT, source_emotion=A)] * 2]
    with pytest.raises(ValueError, match="same source emotion"):
        read_trials(build.dataset(LABELS, cells))


def test_a_label_that_is_no_option_is_refused(build: Any) -> None:
    with pytest.raises(ValueError, match="fear"):
        read_trials(build.dataset(["fear", A], [build.baseline([A, A])]))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_effects_equal_counting_by_hand(build: Any, seed: int) -> None:
    answers = build.random(seed)
    trials = read_trials(answers)
    expected = _by_hand(answers)
    np.testing.assert_allclose(effect_matrix(trials).values, expected, atol=1e-9)
    np.testing.assert_allclose(_changes(trials)[0], np.diag(expected).mean(), atol=1e-9)
    np.testing.assert_allclose(_changes(trials)[1], expected[~np.eye(3, dtype=bool)].mean(), atol=1e-9)


def _by_hand(answers: Any) -> np.ndarray:
    emotions = [str(emotion) for emotion in answers["emotion"].values]
    outcome, answer = answers["outcome"].values, answers["answer"].values
    matrix = np.full((3, 3), np.nan)
    for cell in range(1, 4):
        for column, emotion in enumerate(emotions):
            changes = []
            for u in np.flatnonzero(answers["label"].values == emotion):
                pair = [outcome[c, u] for c in (cell, 0)]
                if set(pair) <= {1, 2}:
                    now, before = (answer[c, u] == column for c in (cell, 0))
                    changes.append(100 * (int(now) - int(before)))
            matrix[emotions.index(str(answers["source_emotion"].values[cell])), column] = np.mean(changes)
    return matrix

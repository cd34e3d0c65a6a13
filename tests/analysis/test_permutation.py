"""The gap's permutation tests: equal to listing every exchange, and uniform where there is nothing to find."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

from esn_dist.analysis import permutation
from esn_dist.analysis.permutation import assignment_test, exchange_test
from esn_dist.analysis.trials import Trials, read_trials

EMOTIONS = ("anger", "joy", "neutral")


def sweep(build: Any, seed: int, per_emotion: Any = 5, right: float = 0.6, own_loss: float = 0.0) -> xr.Dataset:
    """Items differ in how easy they are; a cell loses `own_loss` of its own emotion's right answers."""
    random = np.random.default_rng(seed)
    sizes = [per_emotion] * 3 if isinstance(per_emotion, int) else per_emotion
    labels = np.repeat(EMOTIONS, sizes)
    easy = random.beta(4 * right, 4 * (1 - right), len(labels))

    def answers(source: str) -> list[str]:
        lowered = np.where(labels == source, own_loss, 0.0)
        correct = random.random(len(labels)) < easy - lowered
        wrong = [EMOTIONS[(EMOTIONS.index(label) + 1 + random.integers(2)) % 3] for label in labels]
        return [str(label) if ok else other for label, ok, other in zip(labels, correct, wrong, strict=True)]

    cells = [build.baseline(answers("")), *(build.cell(answers(e), source_emotion=e) for e in EMOTIONS)]
    made: xr.Dataset = build.dataset(labels, cells, emotions=EMOTIONS)
    return made


def gap_of(sources: np.ndarray, correct: np.ndarray, labels: np.ndarray) -> float:
    """Self minus cross, in points, where own[item] says which row of correct[cell, item] is the own cell."""
    gaps = []
    for label in range(3):
        items = np.flatnonzero(labels == label)
        inside = np.mean([correct[sources[i], i] for i in items])
        outside = np.mean([correct[c, i] for i in items for c in range(3) if c != sources[i]])
        gaps.append(100 * (inside - outside))
    return float(np.mean(gaps))


def listed_p(trials: Trials) -> float:
    """Every choice of the own cell for every item."""
    correct = trials.correct[list(trials.groups[0].cells)]
    observed = gap_of(trials.label, correct, trials.label)
    every = [
        gap_of(np.array(sources), correct, trials.label) for sources in product(range(3), repeat=len(trials.label))
    ]
    return float(np.mean(np.abs(every) >= abs(observed) - 1e-9))


@pytest.mark.parametrize(("seed", "sizes"), [(1, 2), (2, 2), (3, [1, 2, 3]), (4, [3, 1, 2]), (5, [1, 3, 1])])
def test_the_exact_p_value_equals_listing_all_exchanges(build: Any, seed: int, sizes: Any) -> None:
    trials = read_trials(sweep(build, seed, sizes))
    result = exchange_test(trials, trials.groups[0])
    assert result.exact and result.items == len(trials.label)
    assert result.p == pytest.approx(listed_p(trials))
    correct = trials.correct[list(trials.groups[0].cells)]
    assert result.gap == pytest.approx(gap_of(trials.label, correct, trials.label))


def test_the_drawn_p_value_agrees_with_the_exact_one(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = read_trials(sweep(build, 7, [20, 21, 22], own_loss=0.15))
    exact = exchange_test(trials, trials.groups[0])
    monkeypatch.setattr(permutation, "MAX_EXACT_VALUES", 10)
    drawn = exchange_test(trials, trials.groups[0], 0)
    assert exact.exact and not drawn.exact and exact.p and 0.001 < exact.p < 0.5
    assert drawn.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p / permutation.EXCHANGE_DRAWS))


def test_p_values_are_uniform_where_the_answers_are_exchanged_within_items(build: Any) -> None:
    """Shuffled labels: a sweep with a strong effect, whose cells are shuffled item by item, has none left."""
    p = []
    for seed in range(300):
        answers = sweep(build, seed, 60, own_loss=0.4)
        for name in ("answer", "outcome"):
            values = answers[name].values.copy()
            orders = np.random.default_rng(20_000 + seed).permuted(np.tile([1, 2, 3], (180, 1)), axis=1)
            values[1:] = values[orders.T, np.arange(180)]
            answers[name] = (("cell", "utterance"), values)
        trials = read_trials(answers)
        p.append(exchange_test(trials, trials.groups[0]).p or 0.0)
    assert kstest(p, "uniform").pvalue > 0.01
    assert abs(np.mean(np.array(p) <= 0.1) - 0.1) < 3 * np.sqrt(0.1 * 0.9 / 300)


def test_p_values_are_uniform_where_masks_differ_but_belong_to_no_emotion(build: Any) -> None:
    p = []
    for seed in range(300):
        trials = read_trials(sweep(build, seed, 60))
        p.append(exchange_test(trials, trials.groups[0]).p or 0.0)
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_planted_gap_is_significant_and_negative(build: Any) -> None:
    trials = read_trials(sweep(build, 3, 60, own_loss=0.4))
    result = exchange_test(trials, trials.groups[0])
    assert result.p is not None and result.p < 1e-4 and result.gap is not None and result.gap < -20


def test_an_utterance_that_one_cell_did_not_answer_is_no_item(build: Any) -> None:
    answers = sweep(build, 3, 5)
    answers["outcome"][2, 0] = 3
    trials = read_trials(answers)
    assert exchange_test(trials, trials.groups[0]).items == 14


def test_one_source_emotion_has_nothing_to_exchange(build: Any) -> None:
    labels = ["anger", "joy"]
    trials = read_trials(build.dataset(labels, [build.baseline(labels), build.cell(labels, source_emotion="joy")]))
    for result in (exchange_test(trials, trials.groups[0]), assignment_test(trials, trials.groups[0])):
        assert (result.p, result.gap, result.items) == (None, None, 0)


def test_the_assignment_test_lists_all_assignments_of_masks_to_emotions(build: Any) -> None:
    for seed in range(5):
        trials = read_trials(sweep(build, seed, 8, own_loss=0.3))
        correct = trials.correct[list(trials.groups[0].cells)]
        every = [gap_of(np.array(order)[trials.label], correct, trials.label) for order in permutations(range(3))]
        result = assignment_test(trials, trials.groups[0])
        assert result.gap == pytest.approx(every[0])
        assert result.p == pytest.approx(np.mean(np.abs(every) >= abs(every[0]) - 1e-9))


def test_assignment_p_values_are_uniform_on_shuffled_source_emotions(build: Any) -> None:
    """Six assignments of three masks, so p is one of k/6, each equally often."""
    counts = np.zeros(6)
    for seed in range(300):
        answers = sweep(build, seed, 30, own_loss=0.4)
        shuffled = np.random.default_rng(seed).permutation(EMOTIONS)
        answers = answers.assign_coords(source_emotion=("cell", ["", *shuffled]))
        trials = read_trials(answers)
        p = assignment_test(trials, trials.groups[0]).p
        assert p is not None
        counts[round(6 * p) - 1] += 1
    shares = counts.cumsum() / 300
    assert (shares <= np.arange(1, 7) / 6 + 3 * np.sqrt(0.25 / 300)).all()

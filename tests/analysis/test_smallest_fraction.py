"""The smallest fraction of a search, and the round's own gap against the effects that are reported."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import xarray as xr

from esn_dist.analysis.effects import point_gap
from esn_dist.analysis.smallest_fraction import smallest_fractions
from esn_dist.analysis.trials import read_trials

EMOTIONS = ("anger", "joy")
RIGHT = ["anger"] * 4 + ["joy"] * 4


def losing(emotion: str, number: int) -> list[str]:
    """Answers of eight utterances of which the first `number` of one emotion are lost."""
    other = {"anger": "joy", "joy": "anger"}[emotion]
    lost = [i for i, label in enumerate(RIGHT) if label == emotion][:number]
    return [other if i in lost else label for i, label in enumerate(RIGHT)]


def test_the_smallest_fraction_by_hand(build: Any) -> None:
    cells = [build.baseline(RIGHT)]
    for fraction, number in ((0.01, 1), (0.02, 2), (0.04, 2), (0.08, 4)):  # gaps of -25, -50, -50, -100 points
        cells += [build.cell(losing(e, number), source_emotion=e, fraction=fraction) for e in EMOTIONS]
    cells += [build.cell(RIGHT, selector="MAD", source_emotion=e, fraction=f) for e in EMOTIONS for f in (0.01, 0.08)]
    trials = read_trials(build.dataset(RIGHT, cells))
    conact, mad = smallest_fractions(trials, 0.5)
    assert conact.gaps == {Decimal("0.01"): -25, Decimal("0.02"): -50, Decimal("0.04"): -50, Decimal("0.08"): -100}
    assert conact.fraction == Decimal("0.02")
    assert (mad.condition.selector, mad.fraction) == ("MAD", None)
    assert next(smallest_fractions(trials, 0.6)).fraction == Decimal("0.08")


@pytest.mark.parametrize("seed", range(20))
def test_the_gap_that_decides_a_round_equals_counting_by_hand(build: Any, seed: int) -> None:
    """All outcomes occur: unparsed answers are wrong, unreadable and non-finite ones leave their pair."""
    answers = build.random(seed)
    trials = read_trials(answers)
    group = next(group for group in trials.groups if group.has_sources)
    counted = gap_by_hand(answers.isel(cell=[trials.baseline, *group.cells]), list(group.sources))
    np.testing.assert_allclose(point_gap(trials, group), counted, atol=1e-9)


def gap_by_hand(answers: xr.Dataset, sources: list[str]) -> float:
    """Self minus cross of cells after their baseline, pair by pair."""
    usable = np.isin(answers.outcome.values, (1, 2))
    right = (answers.outcome.values == 1) & (answers.emotion.values[answers.answer.values] == answers.label.values)
    changes: dict[bool, list[float]] = {True: [], False: []}
    for row, source in enumerate(sources, start=1):
        for emotion in sources:
            pairs = usable[0] & usable[row] & (answers.label.values == emotion)
            changes[source == emotion].append(right[row, pairs].mean() - right[0, pairs].mean())
    return float(100 * (np.mean(changes[True]) - np.mean(changes[False])))


def test_emotions_of_another_corpus_alone_leave_no_gap(build: Any) -> None:
    trials = read_trials(build.dataset(RIGHT, [build.baseline(RIGHT), build.cell(RIGHT, source_emotion="frustration")]))
    assert np.isnan(point_gap(trials, trials.groups[0]))

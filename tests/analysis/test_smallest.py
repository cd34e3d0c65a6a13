"""The smallest fraction of a search, and the round's own gap against the effects that are reported."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from esn_dist.analysis.bootstrap import resample
from esn_dist.analysis.effects import accuracy_changes, contrast
from esn_dist.analysis.smallest import smallest_fractions
from esn_dist.analysis.trials import read_trials
from esn_dist.runner.rounds import gap

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
def test_a_round_decides_by_the_gap_that_is_reported(build: Any, seed: int) -> None:
    """All outcomes occur: unparsed answers are wrong, unreadable and non-finite ones leave their pair."""
    answers = build.random(seed)
    trials = read_trials(answers)
    group = next(group for group in trials.groups if group.has_sources)
    itself = resample(trials.label, len(trials.emotions), draws=0)
    reported = contrast(accuracy_changes(trials, group, itself), group, trials.emotions).gap[0]
    found = gap(answers.isel(cell=[trials.baseline, *group.cells]), list(group.sources))
    np.testing.assert_allclose(found, reported, atol=1e-9)


def test_emotions_of_another_corpus_alone_leave_no_gap(build: Any) -> None:
    cells = [build.baseline(RIGHT), build.cell(RIGHT, source_emotion="frustration")]
    assert np.isnan(gap(build.dataset(RIGHT, cells), ["frustration"]))

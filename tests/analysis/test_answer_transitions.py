"""Moves between options, by hand and by counting one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esn_dist.analysis.answer_transitions import destinations, moves
from esn_dist.analysis.trials import read_trials

A, J = "anger", "joy"


def test_moves_by_hand(build: Any) -> None:
    labels = [A, A, A, J, J, J]
    before = build.baseline([A, A, J, J, "?", "nan"])
    now = build.cell([J, A, J, A, A, J], source_emotion=A)
    trials = read_trials(build.dataset(labels, [before, now]))
    moved = moves(trials, trials.groups[0])
    assert moved[0].values.tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert moved.sel(before=J, after=A).values.tolist() == [1]
    assert destinations(moved)[0].values.tolist() == pytest.approx([2 / 3, 1 / 3, 0])


def test_no_flip_has_no_destination(build: Any) -> None:
    trials = read_trials(build.dataset([A, J], [build.baseline([A, J]), build.cell([A, J], source_emotion=A)]))
    assert np.isnan(destinations(moves(trials, trials.groups[0]))).all()


def test_moves_equal_counting_one_by_one(build: Any) -> None:
    answers = build.random(5, per_emotion=10)
    trials = read_trials(answers)
    for group in trials.groups:
        moved = moves(trials, group)
        names = [*trials.emotions, "invalid"]
        for number, cell in enumerate(group.cells):
            for row, before in enumerate(names):
                for column, after in enumerate(names):
                    expected = sum(
                        _name(answers, 0, u) == before and _name(answers, cell, u) == after
                        for u in range(answers.sizes["utterance"])
                    )
                    assert moved[number, row, column] == expected


def _name(answers: Any, cell: int, utterance: int) -> str | None:
    outcome = int(answers["outcome"][cell, utterance])
    if outcome == 2:
        return "invalid"
    return str(answers["emotion"].values[int(answers["answer"][cell, utterance])]) if outcome == 1 else None

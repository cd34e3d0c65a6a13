"""Option-position bias against counting by hand and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from esn_dist.analysis.position import position_bias


def _with_numbers(answers: Any, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    emotions, utterances = answers.sizes["emotion"], answers.sizes["utterance"]
    numbers = random.permuted(np.tile(np.arange(1, emotions + 1, dtype=np.uint8), (utterances, 1)), axis=1)
    return answers.assign(option_number=(("utterance", "emotion"), numbers))


def test_counts_equal_counting_by_hand(build: Any) -> None:
    answers = _with_numbers(build.random(3))
    bias = position_bias(answers)
    emotions = list(answers["emotion"].values)
    for cell in range(answers.sizes["cell"]):
        by_number, shown, correct = np.zeros(3, int), np.zeros(3, int), np.zeros(3, int)
        for u in range(answers.sizes["utterance"]):
            if answers["outcome"][cell, u] == 1:
                number = answers["option_number"].values[u]
                true = number[emotions.index(answers["label"].values[u])]
                answered = number[int(answers["answer"][cell, u])]
                by_number[answered - 1] += 1
                shown[true - 1] += 1
                correct[true - 1] += answered == true
        assert bias["answered"][cell].values.tolist() == by_number.tolist()
        assert bias["shown"][cell].values.tolist() == shown.tolist()
        assert bias["correct"][cell].values.tolist() == correct.tolist()
        assert bias["p"][cell] == pytest.approx(chisquare(by_number).pvalue)


def test_a_model_that_always_answers_1_is_biased_and_an_even_one_is_not(build: Any) -> None:
    labels = ["anger", "joy"] * 30
    answers = _with_numbers(build.dataset(labels, [build.baseline(labels), build.cell(labels, source_emotion="joy")]))
    first = np.argmin(answers["option_number"].values, axis=1)  # the option whose number is 1
    answers["answer"][1] = first
    even, biased = position_bias(answers)["p"].values
    assert biased < 1e-9 and position_bias(answers)["answered"].sel(cell="c1").values.tolist() == [60, 0]
    assert even > 0.01


def test_a_cell_without_answers_has_no_p_value(build: Any) -> None:
    labels = ["anger", "joy"]
    answers = _with_numbers(build.dataset(labels, [build.baseline(labels), build.cell(["", ""], source_emotion="joy")]))
    assert np.isnan(position_bias(answers)["p"][1])

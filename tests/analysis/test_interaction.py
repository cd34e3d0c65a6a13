"""Interactions by hand: what two masks do together beyond the sum of what they do alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esn_dist.analysis.bootstrap import resample
from esn_dist.analysis.effects import accuracy_changes
from esn_dist.analysis.interaction import interactions
from esn_dist.analysis.trials import Trials, read_trials

EMOTIONS = ("anger", "joy", "neutral")
A, J, N = EMOTIONS


def trials_of(build: Any, pairs: dict[str, list[str]], alone: dict[str, list[str]]) -> Trials:
    """Six utterances, two of each emotion, all right without intervention."""
    labels = [A, A, J, J, N, N]
    cells = [build.baseline(labels)]
    cells += [build.cell(words, source_emotion=emotion) for emotion, words in alone.items()]
    cells += [build.cell(words, "co-deactivate", source_emotion=pair) for pair, words in pairs.items()]
    return read_trials(build.dataset(labels, cells, emotions=EMOTIONS))


ALONE = {A: [N, A, J, J, N, N], J: [A, A, N, J, N, N], N: [A, A, J, J, N, N]}


def test_interactions_by_hand(build: Any) -> None:
    # anger+joy: each loses all of its own, 50 points more than alone. joy+neutral: nothing beyond joy's own loss.
    trials = trials_of(build, {"anger+joy": [N, N, N, N, N, N], "joy+neutral": [A, A, N, J, N, N]}, ALONE)
    interaction = interactions(trials, trials.groups[1], resample(trials.label, 3, draws=0))[..., 0]
    assert interaction.sel(first=A, second=J).values.tolist() == [-50, -50, 0]
    assert interaction.sel(first=J, second=N).values.tolist() == [0, 0, 0]
    assert np.isnan(interaction.sel(first=A, second=[A, N])).all()
    np.testing.assert_array_equal(interaction, interaction.transpose("second", "first", "evaluation"))


def test_every_draw_is_the_difference_of_the_same_draw(build: Any) -> None:
    trials = trials_of(build, {"anger+joy": [N, A, N, J, A, N]}, ALONE)
    sample = resample(trials.label, 3, 1, draws=20)
    interaction = interactions(trials, trials.groups[1], sample)
    together, alone = (accuracy_changes(trials, trials.groups[i], sample) for i in (1, 0))
    np.testing.assert_allclose(interaction.sel(first=A, second=J), together[0] - alone[0] - alone[1])


def test_a_pair_without_its_single_cells_is_no_number(build: Any) -> None:
    trials = trials_of(build, {"anger+joy": [N] * 6}, {A: ALONE[A]})
    with pytest.raises(ValueError, match="single emotions"):
        interactions(trials, trials.groups[1], resample(trials.label, 3, draws=0))

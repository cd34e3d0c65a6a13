"""Power of exact McNemar against simulation and against the textbook's normal approximation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from esn_dist.analysis.mcnemar import Flips
from esn_dist.analysis.power import power, utterances_needed
from esn_dist.errors import UserError


@pytest.mark.parametrize(
    ("utterances", "effect", "flipped"), [(30, -20, 0.3), (200, 3, 0.05), (100, 10, 0.1), (12, 50, 0.6), (5, 40, 0.5)]
)
def test_power_equals_simulation(utterances: int, effect: float, flipped: float) -> None:
    random = np.random.default_rng(1)
    gain, loss = (flipped + effect / 100) / 2, (flipped - effect / 100) / 2
    drawn = random.multinomial(utterances, [loss, gain, 1 - loss - gain], 4000)
    p = {pair: Flips(*pair, utterances).p or 1.0 for pair in {(int(a), int(b)) for a, b, _ in drawn}}
    simulated = np.mean([p[int(a), int(b)] <= 0.05 for a, b, _ in drawn])
    assert power(utterances, effect, flipped) == pytest.approx(simulated, abs=4 * np.sqrt(0.25 / 4000))


def test_the_number_of_utterances_is_near_connor_s_formula() -> None:
    for effect, flipped in ((3.0, 0.1), (5.0, 0.2), (-2.0, 0.05)):
        d, z = abs(effect) / 100, [float(norm.ppf(0.975)), float(norm.ppf(0.8))]
        connor = (z[0] * np.sqrt(flipped) + z[1] * np.sqrt(flipped - d**2)) ** 2 / d**2
        assert connor <= utterances_needed(effect, flipped) <= 1.15 * connor  # exact tests are a little conservative


def test_the_number_reaches_the_target_and_one_fewer_does_not() -> None:
    needed = utterances_needed(-10, 0.3, target=0.9)
    assert power(needed, -10, 0.3) >= 0.9 > power(needed - 1, -10, 0.3)


def test_direction_does_not_matter_and_a_smaller_level_needs_more() -> None:
    assert utterances_needed(5, 0.2) == utterances_needed(-5, 0.2) < utterances_needed(5, 0.2, level=0.05 / 40)


def test_half_a_point_is_out_of_reach_of_200_utterances() -> None:
    """The paper's smaller effects (±0.5 points) are within noise."""
    assert power(200, 0.5, 0.02) < 0.05


@pytest.mark.parametrize(
    ("effect", "flipped", "target", "level"),
    [(0, 0.1, 0.8, 0.05), (20, 0.1, 0.8, 0.05), (5, 1.5, 0.8, 0.05), (5, 0.1, 1.0, 0.05), (5, 0.1, 0.8, 0.0)],
)
def test_impossible_questions_are_refused(effect: float, flipped: float, target: float, level: float) -> None:
    with pytest.raises(UserError):
        utterances_needed(effect, flipped, target=target, level=level)


def test_an_endless_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esn_dist.analysis.power.LARGEST", 10_000)
    with pytest.raises(UserError, match="over 10,000"):
        utterances_needed(0.01, 0.5)

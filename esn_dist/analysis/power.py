"""How many utterances an effect needs: the power of the exact McNemar test, computed, not simulated.

Knows no stores: an effect in points and the share of answers that flip at all go in.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from esn_dist.analysis.effects import POINTS
from esn_dist.errors import UserError

LARGEST = 1_000_000


def power(utterances: int, effect: float, flipped: float, level: float = 0.05) -> float:
    """Probability that exact McNemar detects the effect (p ≤ level, two-sided, either direction).

    Args:
        utterances: answered in both the cell and the baseline.
        effect: change of accuracy in percentage points.
        flipped: share, within 0..1, of the utterances whose answer changes between right and wrong; at least the
            effect itself.
        level: of the test; divide it by the number of tests for Bonferroni's (and Holm's first) step.
    """
    from scipy.stats import binom

    _check(effect, flipped, level)
    losing = (flipped - effect / POINTS) / (2 * flipped)
    # All numbers of flips but the least probable ones: 1e-12 on either side.
    low, high = (int(binom.ppf(q, utterances, flipped)) for q in (1e-12, 1 - 1e-12))
    flips = np.arange(low, high + 1)
    limit = _limits(high, level)[flips]
    detected = binom.cdf(limit, flips, losing) + binom.sf(flips - limit - 1, flips, losing)
    return float((binom.pmf(flips, utterances, flipped) * np.where(limit < 0, 0.0, detected)).sum())


def utterances_needed(effect: float, flipped: float, *, target: float = 0.8, level: float = 0.05) -> int:
    """A number of utterances whose power reaches `target` while that of one fewer does not, found by bisection.

    Power rises in saw-teeth (the test is discrete), so a few numbers about this one may reach the target or miss it.

    Raises:
        UserError: impossible arguments, or more than a million utterances.
    """
    if not 0 < target < 1:
        raise UserError(f"a power of {target:g}", expected="a number between 0 and 1, such as 0.8")
    _check(effect, flipped, level)
    upper = 8
    while power(upper, effect, flipped, level) < target:
        upper *= 2
        if upper > LARGEST:
            raise UserError(
                f"an effect of {effect:g} points needs over {LARGEST:,} utterances", fix="choose a larger effect"
            )
    lower = upper // 2
    while upper - lower > 1:
        middle = (lower + upper) // 2
        lower, upper = (lower, middle) if power(middle, effect, flipped, level) >= target else (middle, upper)
    return upper


@lru_cache(maxsize=8)
def _limits_up_to(most: int, level: float) -> npt.NDArray[np.int64]:
    """limit[flips]: the largest number of losses (or gains) that is significant; -1 where none is."""
    from scipy.stats import binom

    flips = np.arange(most + 1)
    limit = np.asarray(binom.ppf(level / 2, flips, 0.5)).astype(np.int64)
    return np.where(2 * binom.cdf(limit, flips, 0.5) <= level, limit, limit - 1)


def _limits(most: int, level: float) -> npt.NDArray[np.int64]:
    return _limits_up_to(1 << max(6, most.bit_length()), level)


def _check(effect: float, flipped: float, level: float) -> None:
    if not 0 < abs(effect) <= POINTS:
        raise UserError(f"an effect of {effect:g} points", expected="a number within ±100, and not 0")
    if not abs(effect) / POINTS <= flipped <= 1:
        raise UserError(
            f"a flip share of {flipped:g} is smaller than the effect, {abs(effect) / POINTS:g}",
            expected=f"a share from {abs(effect) / POINTS:g} to 1",
        )
    if not 0 < level < 1:
        raise UserError(f"a level of {level:g}", expected="a number between 0 and 1, such as 0.05")

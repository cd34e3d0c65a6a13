"""The smallest fraction that reaches a share of the largest one's effect: bisection over the fractions of a study.

Pure: known effects go in, the one fraction to try next comes out. The search assumes that a larger mask has no smaller
effect. Where that fails, the result still reaches the share, and the next smaller fraction that was tried does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import ceil, log2


def max_rounds(fractions: int) -> int:
    """Upper limit of the fractions that are tried, the largest one included."""
    return 1 + ceil(log2(fractions))


def next_fraction(fractions: Sequence[Decimal], effects: Mapping[Decimal, float], share: float) -> Decimal | None:
    """The fraction whose effect must be measured next; None where the search is over, or the largest has no effect.

    Args:
        fractions: of the study, in any order.
        effects: effect of each fraction that is known, NaN where it is undefined.
        share: of the largest fraction's effect, within 0..1.
    """
    tried, _ = _bisect(fractions, effects, share)
    return tried


def smallest_fraction(fractions: Sequence[Decimal], effects: Mapping[Decimal, float], share: float) -> Decimal | None:
    """The smallest fraction that is known to reach `share`; None before the search is over, or without an effect."""
    tried, reached = _bisect(fractions, effects, share)
    return None if tried is not None else reached


def _bisect(
    fractions: Sequence[Decimal], effects: Mapping[Decimal, float], share: float
) -> tuple[Decimal | None, Decimal | None]:
    """The fraction to try next, and the smallest one that is known to reach the share."""
    ordered = sorted(fractions)
    below, reached = -1, len(ordered) - 1
    largest_effect = effects.get(ordered[-1])
    if largest_effect is None:
        return ordered[-1], None
    if not abs(largest_effect) > 0:
        return None, None
    while reached - below > 1:
        middle = (below + reached) // 2
        effect = effects.get(ordered[middle])
        if effect is None:
            return ordered[middle], ordered[reached]
        below, reached = (below, middle) if effect / largest_effect >= share else (middle, reached)
    return None, ordered[reached]

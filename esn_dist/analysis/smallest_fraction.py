"""The smallest fraction r whose self–cross gap reaches a share of the gap of the largest r.

Reads the bisection of a study with `reach` from the cells that a store has. Where all fractions ran, the answer is the
same. Knows no stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from esn_dist.analysis.effects import point_gap
from esn_dist.analysis.trials import Condition, Group, Trials
from esn_dist.sweep.fraction_search import next_fraction, smallest_fraction


@dataclass(frozen=True, slots=True)
class SmallestFraction:
    """One search.

    Attributes:
        condition: what its groups share; its fraction is the largest.
        gaps: the gap of every fraction that ran, in percentage points.
        fraction: the smallest that reaches the share; None where the largest has no gap, or before the search is over.
        awaited: the fraction that the search needs next; None where it is over.
    """

    condition: Condition
    gaps: dict[Decimal, float]
    fraction: Decimal | None
    awaited: Decimal | None = None


def smallest_fractions(
    trials: Trials, share: float, fractions: Sequence[Decimal] | None = None
) -> Iterator[SmallestFraction]:
    """One search for every condition that ran with two or more fractions.

    Args:
        share: of the gap of the largest fraction, within 0..1.
        fractions: those that the search may try; default: those that ran, of two or more.
    """
    searches: dict[Condition, dict[Decimal, Group]] = {}
    for group in trials.groups:
        if group.has_sources:
            shared = replace(group.condition, fraction=0.0)
            searches.setdefault(shared, {})[Decimal(repr(group.condition.fraction))] = group
    for shared, groups in searches.items():
        if len(groups) > 1 or fractions:
            among = sorted(groups) if fractions is None else list(fractions)
            gaps = {
                fraction: point_gap(trials, group) for fraction, group in sorted(groups.items()) if fraction in among
            }
            smallest, awaited = smallest_fraction(among, gaps, share), next_fraction(among, gaps, share)
            yield SmallestFraction(replace(shared, fraction=float(max(among))), gaps, smallest, awaited)

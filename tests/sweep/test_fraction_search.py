"""The smallest fraction that reaches a share: few rounds, the right one, and nothing made of nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from esn_dist.report.plan import plan_text
from esn_dist.sweep.forecast import forecast
from esn_dist.sweep.fraction_search import max_rounds, next_fraction, smallest_fraction
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep

FRACTIONS = st.lists(st.integers(1, 1000), min_size=2, max_size=20, unique=True)


@given(FRACTIONS, st.floats(0.01, 0.99), st.booleans(), st.data())
def test_bisection_finds_what_trying_every_fraction_finds_in_fewer_rounds(
    numbers: list[int], share: float, negative: bool, data: st.DataObject
) -> None:
    fractions = [Decimal(n) / 1000 for n in numbers]
    size = st.lists(st.floats(0, 40), min_size=len(numbers), max_size=len(numbers))
    sizes = sorted(s + 0.1 for s in data.draw(size))
    truth = {f: -s if negative else s for f, s in zip(sorted(fractions), sizes, strict=True)}
    known: dict[Decimal, float] = {}
    while (tried := next_fraction(fractions, known, share)) is not None:
        assert smallest_fraction(fractions, known, share) is None
        known[tried] = truth[tried]
        assert len(known) <= max_rounds(len(fractions))
    whole = truth[max(fractions)]
    slow = min(f for f in fractions if truth[f] / whole >= share)
    assert smallest_fraction(fractions, known, share) == slow == smallest_fraction(fractions, truth, share)


@pytest.mark.parametrize("whole", [0.0, float("nan")])
def test_no_effect_has_no_share(whole: float) -> None:
    fractions = [Decimal("0.1"), Decimal("0.2")]
    known = {Decimal("0.2"): whole}
    assert next_fraction(fractions, known, 0.5) is None
    assert smallest_fraction(fractions, known, 0.5) is None


def test_an_undefined_effect_in_between_does_not_reach_the_share() -> None:
    fractions = [Decimal(n) for n in ("0.1", "0.2", "0.4")]
    known = {Decimal("0.4"): -10.0, Decimal("0.2"): float("nan"), Decimal("0.1"): -10.0}
    assert smallest_fraction(fractions, known | {Decimal("0.1"): float("nan")}, 0.5) == Decimal("0.4")
    assert smallest_fraction(fractions, known, 0.5) == Decimal("0.1")


def sweep(**changed: Any) -> Sweep:
    corpus = {"name": "c", "type": "synthetic", "condition": "studio", "emotions": ["anger", "joy", "neutral"]}
    study = {
        "selectors": ["MAD", "ConAct"], "fractions": ["1 %", "8 %", "2 %", "4 %"], "reach": 0.5,
        "interventions": ["deactivate"],
    }  # fmt: skip
    given = {"name": "t", "seed": 1, "models": ["tiny-qwen2.5-omni"], "corpora": [corpus]}
    return Sweep.model_validate({**given, "studies": {"s": study | changed}})


def test_a_search_begins_with_the_largest_fraction_and_says_how_far_it_may_go() -> None:
    planned = plan(sweep())
    assert {c.mask.fraction for c in planned.cells if c.mask} == {Decimal("0.08")}
    (study,) = forecast(sweep()).studies
    assert (study.cells, study.later) == (1 + 2 * 3, 2 * 3 * 2)
    assert "; later rounds of a search not included" in plan_text(forecast(sweep()))
    assert "later rounds" not in plan_text(forecast(sweep(reach=None)))


def test_cells_that_were_found_join_the_study_and_the_plan() -> None:
    first = plan(sweep())
    everything = plan(sweep(reach=None))
    more = tuple(c for c in everything.cells if c.mask and c.mask.fraction == Decimal("0.02"))
    grown = plan(sweep(), {"s": more})
    assert set(grown.cells) == {*first.cells, *more} == set(grown.studies["s"])
    assert {c.mask for c in more} <= set(grown.masks)


@pytest.mark.parametrize(
    "changed", [{"fractions": "1 %"}, {"selectors": ["RND"]}, {"interventions": [{"type": "union", "alpha": 1}]}]
)
def test_what_cannot_be_searched_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`reach`"):
        sweep(**changed)

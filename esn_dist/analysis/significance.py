"""Every test of a sweep with its family and its corrected p-values.

A family is one model × corpus × type of intervention × question; no correction covers several families. There are three
questions. *Cell*: accuracy over all utterances against the baseline, by exact McNemar. *Heat-map entry*: the same over
one emotion's utterances. *Gap* of a condition: the exchange test, and the assignment test in addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from esn_dist.analysis.flat_rows import CONDITION_COLUMNS, flat_condition
from esn_dist.analysis.mcnemar import Flips, flips
from esn_dist.analysis.multiple_testing import benjamini_hochberg, holm
from esn_dist.analysis.permutation import assignment_test, exchange_test
from esn_dist.analysis.summary import ALL
from esn_dist.analysis.trials import Condition, Group, Trials, read_trials

CELL, ENTRY, GAP = "cell", "heat-map entry", "gap"


@dataclass(frozen=True, slots=True)
class SignificanceTest:
    """The result of one test.

    Attributes:
        question: "cell", "heat-map entry" or "gap".
        source, mask_seed: source emotion ("" for RND and gaps) and the seed of random masks (-1 for the others).
        evaluation: emotion of the utterances; "all" for cells and gaps.
        effect: percentage points; of a gap, the gap.
        pairs: utterances that entered; lost, gained: those that flipped (None for gaps).
        p, holm, bh: uncorrected, and corrected within the family; None where nothing could be tested.
        exact: False where the distribution was drawn.
        assignment_p: of a gap, the p-value of the assignment test; uncorrected, and never below 1 / S!.
    """

    question: str
    model: str
    corpus: str
    condition: Condition
    source: str
    mask_seed: int
    evaluation: str
    effect: float | None
    pairs: int
    lost: int | None
    gained: int | None
    p: float | None
    exact: bool = True
    assignment_p: float | None = None
    holm: float | None = None
    bh: float | None = None

    @property
    def family(self) -> str:
        """Name of the family, e.g. `tiny on studio, deactivate: gap`."""
        return f"{self.model} on {self.corpus}, {self.condition.intervention}: {self.question}"


def significance(
    datasets: Sequence[xr.Dataset], *, seed: int = 0, invalid_is_wrong: bool = True
) -> list[SignificanceTest]:
    """All tests of all datasets.

    Args:
        datasets: "answers" of one model × evaluation corpus each.
        seed: of the draws where a distribution is too large to be exact.
        invalid_is_wrong: as in `summary.summarise`.
    """
    read = (read_trials(dataset, invalid_is_wrong=invalid_is_wrong) for dataset in datasets)
    return _corrected([test for trials in read for test in _tests(trials, seed)])


def _tests(trials: Trials, seed: int) -> Iterator[SignificanceTest]:
    for group in trials.groups:
        for number, cell in enumerate(group.cells):
            yield _mcnemar(trials, group, number, CELL, ALL, flips(trials, cell))
            for code, emotion in enumerate(trials.emotions):
                of_emotion = flips(trials, cell, trials.label == code)
                yield _mcnemar(trials, group, number, ENTRY, emotion, of_emotion)
        if group.has_sources and group.source_emotions == set(group.sources):  # joined masks cannot be exchanged
            yield from (_gap(trials, _of_seed(group, mask_seed), seed) for mask_seed in dict.fromkeys(group.seeds))


def _mcnemar(
    trials: Trials, group: Group, number: int, question: str, evaluation: str, flipped: Flips
) -> SignificanceTest:
    return SignificanceTest(
        question, trials.model, trials.corpus, group.condition,
        source=group.sources[number], mask_seed=group.seeds[number], evaluation=evaluation,
        effect=flipped.effect, pairs=flipped.pairs,
        lost=flipped.right_to_wrong, gained=flipped.wrong_to_right, p=flipped.p,
    )  # fmt: skip


def _gap(trials: Trials, group: Group, seed: int) -> SignificanceTest:
    exchange = exchange_test(trials, group, seed, trials.model, trials.corpus, *_seed_key(group.condition))
    return SignificanceTest(
        GAP, trials.model, trials.corpus, group.condition,
        source="", mask_seed=group.seeds[0], evaluation=ALL,
        effect=exchange.gap, pairs=exchange.items, lost=None, gained=None, p=exchange.p, exact=exchange.exact,
        assignment_p=assignment_test(trials, group).p,
    )  # fmt: skip


def _seed_key(condition: Condition) -> list[str]:
    """What the draws of a condition's test are hashed from. The order decides the draws, so it never changes."""
    columns = flat_condition(condition)
    return [str(columns[name]) for name in CONDITION_COLUMNS if name != "parameters"]


def _of_seed(group: Group, seed: int) -> Group:
    """One mask per source emotion: of random masks that follow an emotion's, those of one seed."""
    kept = [number for number, of_cell in enumerate(group.seeds) if of_cell == seed]
    return Group(
        group.condition,
        tuple(group.cells[number] for number in kept),
        tuple(group.sources[number] for number in kept),
        tuple(group.seeds[number] for number in kept),
    )


def _corrected(tests: Sequence[SignificanceTest]) -> list[SignificanceTest]:
    members: dict[str, list[int]] = {}
    for position, test in enumerate(tests):
        if test.p is not None:
            members.setdefault(test.family, []).append(position)
    corrected = list(tests)
    for positions in members.values():
        p = [float(np.float64(tests[position].p)) for position in positions]
        for position, of_holm, of_bh in zip(positions, holm(p), benjamini_hochberg(p), strict=True):
            corrected[position] = replace(tests[position], holm=of_holm, bh=of_bh)
    return corrected

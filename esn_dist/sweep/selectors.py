"""The selectors that a study can name: what each is called, which equation it is, and what it is computed from.

Another installed package adds a selector through the entry point group `esn_dist.selectors`. Knows no counts and no
scores: an import string names the function that computes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from esn_dist.registry import Registry

RND: Final = "RND"
"""Random neurons, the same for all emotions. It scores nothing, so it is no entry of the registry."""
FROM_FILE: Final = "file"
"""Masks from a file. They were selected elsewhere, so this is no entry of the registry either."""
LIKE: Final = "RND-like-"
"""`RND-like-X` draws, for every emotion, as many random neurons of each layer as X's mask of that emotion has there."""

LOGGED_STATISTICS: Final[tuple[str, ...]] = ()
"""Statistics besides K and T that identification logs; a selector that needs others is refused."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A rule that ranks neurons (paper §3.1).

    Attributes:
        name: in the YAML, in the store and in reports.
        formula: the score in a few words, with its equation.
        scores: import string of a function of `selection.selection_input.SelectionInput` that returns
            float64 scores[emotion, layer, neuron]: higher is selected earlier, -inf is never selected.
        needs_utterances: whether it reads the counts of single utterances; else it gets sums alone.
        statistics: names of further logged statistics that it reads.
    """

    name: str
    formula: str
    scores: str
    needs_utterances: bool = False
    statistics: tuple[str, ...] = ()

    @property
    def from_sums(self) -> bool:
        """Whether K and T summed over utterances are all that it reads."""
        return not self.needs_utterances and not self.statistics


_SCORES = "esn_dist.selection.scores"
_SELECTORS = (
    Selector("LAP", "P (eq. 1)", f"{_SCORES}:lap"),
    Selector("LAPE", "-entropy of P over emotions (eqs. 2-3)", f"{_SCORES}:lape"),
    Selector("MAD", "|P - mean P| (eqs. 4-5)", f"{_SCORES}:mad"),
    Selector("ConAct", "P - runner-up's P (eqs. 6-7)", f"{_SCORES}:conact"),
    Selector("LAPE-filtered", "LAPE with the filters of Tang et al. (2024)", f"{_SCORES}:lape_filtered"),
)

SELECTORS: Registry[Selector] = Registry(
    "esn_dist.selectors", "selector", Selector, {entry.name: entry for entry in _SELECTORS}
)
"""Every selector that scores neurons, by name: those of this package first."""

PAPER_SELECTORS: Final = (RND, "LAP", "LAPE", "MAD", "ConAct")


def study_selectors() -> Iterator[str]:
    """Every name that a study may list, in the order of reports."""
    yield from (RND, *SELECTORS)
    yield from (LIKE + name for name in SELECTORS)


def selector_order(name: str) -> tuple[int, str]:
    """Sort key of reports: registration order, then files, then names that no package here registers."""
    names = [*study_selectors(), FROM_FILE]
    return (names.index(name), "") if name in names else (len(names), name)


def matched_selector(name: str) -> str:
    """X of `RND-like-X`; "" for all other names."""
    return name.removeprefix(LIKE) if name.startswith(LIKE) else ""


def is_random(name: str) -> bool:
    """Whether masks are drawn, so that each has a seed."""
    return name == RND or name.startswith(LIKE)


def selector_provider(name: str) -> str:
    """Identity of the package that registers `name`, or X of `RND-like-X`; "" for what this package defines."""
    scored = matched_selector(name) or name
    provider = SELECTORS.provider(scored) if scored in SELECTORS else None
    return provider.identity if provider else ""

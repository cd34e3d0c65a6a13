"""What adaptive studies (`reach`) concluded: the smallest fraction of neurons that reaches a share of the effect.

Which studies searched, the store's run log says; stores without it have the YAML of every run in their provenance.
Knows no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import xarray as xr
import yaml
from pydantic import ValidationError

from esn_dist.analysis.bootstrap import UNDEFINED, Estimate
from esn_dist.analysis.flat_rows import flat_condition
from esn_dist.analysis.smallest_fraction import SmallestFraction, smallest_fractions
from esn_dist.analysis.summary import EffectRow
from esn_dist.analysis.trials import Condition, read_trials
from esn_dist.report.document import CsvRow
from esn_dist.report.numbers import decimal_text, fraction_text
from esn_dist.store.run_log import LoggedStudy, StudyCondition
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_log import logged_studies


@dataclass(frozen=True, slots=True)
class Search:
    """One search of one study on one corpus.

    Attributes:
        share: of the largest fraction's gap that was searched for.
        smallest: its condition has the largest fraction.
        largest_gap: the largest fraction's gap with its interval; a share of what may be 0 means nothing.
    """

    study: str
    model: str
    corpus: str
    share: float
    smallest: SmallestFraction
    largest_gap: Estimate

    @property
    def result_text(self) -> str:
        """`r = 0.05 %`, or why no fraction is known."""
        if self.smallest.fraction is not None:
            doubt = ", but the largest r may have no effect" if self.gap_may_be_zero else ""
            return f"r = {fraction_text(self.smallest.fraction)}{doubt}"
        if self.smallest.awaited is not None:
            return f"not finished: r = {fraction_text(self.smallest.awaited)} has not run"
        return "the largest r has no effect"

    @property
    def gap_may_be_zero(self) -> bool:
        """Whether the interval of the largest fraction's gap holds 0."""
        low, high = self.largest_gap.low, self.largest_gap.high
        return low is not None and high is not None and low <= 0 <= high


def searches(
    answers: Mapping[tuple[str, str], xr.Dataset], studies: Iterable[LoggedStudy], rows: Iterable[EffectRow]
) -> list[Search]:
    """Every search of every study with `reach`.

    Args:
        answers: finished cells by model and corpus.
        studies: of the store's plans.
        rows: effects of the same answers, for the interval of the largest fraction's gap.
    """
    gaps = {(row.model, row.corpus, row.condition): row.gap for row in rows}

    def largest_gap(model: str, corpus: str, smallest: SmallestFraction) -> Estimate:
        return gaps.get((model, corpus, smallest.condition), UNDEFINED)

    return [
        Search(study.name, model, corpus, study.reach, smallest, largest_gap(model, corpus, smallest))
        for study in studies
        if study.reach is not None
        for (model, corpus), dataset in answers.items()
        for smallest in smallest_fractions(read_trials(dataset), study.reach, [Decimal(r) for r in study.fractions])
        if _searched(model, corpus, smallest.condition) in study.conditions
    ]


def studies_of_provenance(texts: Iterable[str]) -> list[LoggedStudy]:
    """The studies of the YAML of a store's runs, oldest first; of studies of one name the last counts."""
    return list({study.name: study for text in texts for study in _studies(text)}.values())


def search_rows(of_store: Iterable[Search]) -> Iterator[CsvRow]:
    """One row per fraction that a search tried."""
    for search in of_store:
        gaps = search.smallest.gaps
        for fraction, gap in gaps.items():
            condition = flat_condition(replace(search.smallest.condition, fraction=float(fraction)))
            head = {"study": search.study, "model": search.model, "corpus": search.corpus, **condition}
            low, high = (search.largest_gap.low, search.largest_gap.high) if fraction == max(gaps) else (None, None)
            values = {"gap": gap if gap == gap else None, "gap_low": low, "gap_high": high}
            yield {**head, "share": search.share, **values, "outcome": search.result_text}


def tried_text(search: Search) -> str:
    """`0.1 %: -3.2; 2 %: -6.1`."""
    gaps = search.smallest.gaps.items()
    return "; ".join(
        f"{fraction_text(r)}: {decimal_text(gap if gap == gap else None, 1, signed=True)}" for r, gap in gaps
    )


def _searched(model: str, corpus: str, condition: Condition) -> StudyCondition:
    """What all fractions of a search share."""
    size, parts = condition.identification_size, condition.parts
    masks = (condition.selector, condition.source_corpus, condition.alpha, size, parts)
    return StudyCondition(model, corpus, condition.intervention, *masks)


def _studies(text: str) -> Sequence[LoggedStudy]:
    try:
        sweep = Sweep.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError):
        return ()  # written for another version; its cells are in the tables all the same
    searching = {name: study for name, study in sweep.studies.items() if study.reach is not None}
    sweep = sweep.model_copy(update={"studies": searching})
    return logged_studies(sweep, plan(sweep))

"""What adaptive studies (`reach`) found: the smallest fraction of neurons that reaches a share of the effect.

Which studies searched, and for what, the YAML of the runs says, which every run leaves in the store's provenance.
Knows no stores: texts and finished answers in, rows out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

import xarray as xr
import yaml
from pydantic import ValidationError

from esn_dist.analysis.bootstrap import UNDEFINED, Estimate
from esn_dist.analysis.smallest import Smallest, smallest_fractions
from esn_dist.analysis.summary import EffectRow
from esn_dist.analysis.trials import Condition, read_trials
from esn_dist.report.markdown import DASH, interval, number, pipe_table
from esn_dist.report.tables import condition_title
from esn_dist.sweep.keys import Cell
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import StudySpec
from esn_dist.terms import JOIN


@dataclass(frozen=True, slots=True)
class Search:
    """One search of one study on one corpus.

    Attributes:
        share: of the largest fraction's gap that was looked for.
        found: its condition has the largest fraction.
        whole: the largest fraction's gap with its interval; a share of what may be 0 means nothing.
    """

    study: str
    model: str
    corpus: str
    share: float
    found: Smallest
    whole: Estimate

    @property
    def outcome(self) -> str:
        """`r = 0.05 %`, or why there is none."""
        if self.found.fraction is not None:
            return f"r = {_percent(self.found.fraction)}" + (", but the largest r may have no effect" * self.doubtful)
        if self.found.awaited is not None:
            return f"not finished: r = {_percent(self.found.awaited)} has not run"
        return "the largest r has no effect"

    @property
    def doubtful(self) -> bool:
        """Whether the interval of the largest fraction's gap holds 0."""
        return self.whole.low is not None and self.whole.high is not None and self.whole.low <= 0 <= self.whole.high


def searches(
    answers: Mapping[tuple[str, str], xr.Dataset], texts: Iterable[str], rows: Iterable[EffectRow]
) -> list[Search]:
    """Every search of every study with `reach`.

    Args:
        answers: finished cells by model and corpus.
        texts: the YAML of the store's runs, oldest first; of studies of one name the last counts.
        rows: effects of the same answers, for the interval of the largest fraction's gap.
    """
    gaps = {(row.model, row.corpus, row.condition): row.gap for row in rows}
    studies = {title: (study, cells) for text in texts for title, study, cells in _adaptive(text)}
    return [
        Search(title, model, corpus, study.reach, found, gaps.get((model, corpus, found.condition), UNDEFINED))
        for title, (study, cells) in studies.items()
        for (model, corpus), dataset in answers.items()
        if study.reach is not None
        for found in smallest_fractions(read_trials(dataset), study.reach, study.fractions)
        if _line(found.condition) in {_line(_condition(c)) for c in cells if (c.model, c.corpus) == (model, corpus)}
    ]


def search_rows(found: Iterable[Search]) -> Iterator[dict[str, Any]]:
    """One row per fraction that a search tried."""
    for search in found:
        for fraction, gap in search.found.gaps.items():
            condition = asdict(replace(search.found.condition, fraction=float(fraction)))
            head = {"study": search.study, "model": search.model, "corpus": search.corpus, **condition}
            low, high = (search.whole.low, search.whole.high) if fraction == max(search.found.gaps) else (None, None)
            said = {"gap": gap if gap == gap else None, "gap_low": low, "gap_high": high}
            yield {**head, "share": search.share, **said, "outcome": search.outcome}


def search_section(found: list[Search]) -> Iterator[str]:
    """As Markdown; nothing where no study searched."""
    if not found:
        return
    yield "## The smallest fraction that reaches a share of the effect"
    yield (
        "By bisection over the fractions of a study: the smallest r whose self–cross gap is at least this share of the "
        "largest one's. Beside it every fraction that was tried, with its gap in points, and the interval of the "
        "largest one's: a share of a gap whose interval holds 0 says nothing."
    )
    lines = [[s.study, s.model, s.corpus, condition_title(s.found.condition), _gap(s), *_answer(s)] for s in found]
    heads = ["Study", "Model", "Corpus", "Largest", "Its gap", "Share", "Smallest", "Tried: gap"]
    yield pipe_table(heads, lines, texts=len(heads))


def _gap(search: Search) -> str:
    return f"{number(search.whole.point)} {interval(search.whole)}".rstrip()


def _answer(search: Search) -> list[str]:
    return [f"{100 * search.share:g} %", search.outcome, tried(search)]


def tried(search: Search) -> str:
    """`0.1 %: -3.2; 2 %: -6.1`."""
    gaps = search.found.gaps.items()
    return "; ".join(f"{_percent(r)}: {number(gap) if gap == gap else DASH}" for r, gap in gaps)


def _adaptive(text: str) -> Iterator[tuple[str, StudySpec, tuple[Cell, ...]]]:
    try:
        sweep = Sweep.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError):
        return  # written for another version; its cells are in the tables all the same
    adaptive = {title: study for title, study in sweep.studies.items() if study.reach is not None}
    planned = plan(sweep.model_copy(update={"studies": adaptive}))
    yield from ((title, study, planned.studies[title]) for title, study in adaptive.items())


def _condition(cell: Cell) -> Condition:
    if cell.mask is None:
        return Condition("", str(cell.intervention), 0.0, 0.0, "")
    size = cell.mask.size if isinstance(cell.mask.size, int) else 0
    parts = JOIN.join(cell.mask.parts)
    return Condition(
        str(cell.mask.selector), str(cell.intervention), cell.alpha, 0.0, cell.mask.corpus, 0.0, size, parts
    )


def _line(condition: Condition) -> Condition:
    """What all fractions of a search share."""
    return replace(condition, fraction=0.0)


def _percent(fraction: Decimal) -> str:
    return f"{(100 * fraction).normalize():f} %"

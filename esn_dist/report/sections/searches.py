"""The smallest fraction of neurons that reaches a share of the effect, where studies searched for it."""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.report.document import Number, Paragraph, Section, Share, TableCell, table
from esn_dist.report.results import Results
from esn_dist.report.searches import Search, search_rows, searches, studies_of_provenance, tried_text
from esn_dist.report.titles import condition_title
from esn_dist.store.run_log import LoggedStudy, RunLog

_EXPLANATION = (
    "By bisection over the fractions of a study: the smallest r whose self–cross gap is at least this share of the gap "
    "of the largest r. Gaps are in points. A share of a gap whose interval holds 0 says nothing."
)


def search_section(results: Results) -> Section | None:
    """A line per search."""
    return searches_section(searches(results.answers, searched_studies(results), results.rows))


def searched_studies(results: Results) -> tuple[LoggedStudy, ...]:
    """The studies of the store's run log; of an older store, those of its provenance."""
    studies = RunLog(results.folder).studies()
    if studies is not None:
        return studies
    return tuple(studies_of_provenance(str(run.get("sweep", "")) for run in results.provenance))


def searches_section(of_store: Sequence[Search]) -> Section | None:
    """The searches as a section; None where no study searched."""
    if not of_store:
        return None
    labels = ("Study", "Model", "Corpus", "Largest")
    heads = ("Its gap", "Share", "Smallest", "Tried: gap")
    shown = table(labels, heads, list(map(_line, of_store)), caption="The smallest fraction that reaches a share.")
    title = "The smallest fraction that reaches a share of the effect"
    return Section(
        "smallest-fractions",
        title,
        (Paragraph(_EXPLANATION), shown),
        {"searches": list(search_rows(of_store))},
        "Smallest r",
    )


def _line(search: Search) -> list[TableCell | str]:
    condition = condition_title(search.smallest.condition)
    values: list[TableCell | str] = [
        Number(search.largest_gap),
        Share(search.share, 0),
        search.result_text,
        tried_text(search),
    ]
    return [search.study, search.model, search.corpus, condition, *values]

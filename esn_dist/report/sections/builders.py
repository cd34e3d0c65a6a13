"""The one list of what a report shows, in its order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from esn_dist.report.document import Document, Section
from esn_dist.report.results import Results
from esn_dist.report.sections.agnostic import agnostic_section
from esn_dist.report.sections.baselines import baseline_section
from esn_dist.report.sections.curves import curve_section
from esn_dist.report.sections.effects import effect_section, margin_section
from esn_dist.report.sections.exclusions import exclusion_section
from esn_dist.report.sections.failures import failure_section
from esn_dist.report.sections.heat_maps import heat_map_section
from esn_dist.report.sections.layers import layer_section
from esn_dist.report.sections.missing_answers import missing_answer_section
from esn_dist.report.sections.moves import move_section
from esn_dist.report.sections.overlap import overlap_section
from esn_dist.report.sections.overview import overview_section
from esn_dist.report.sections.pairs import pair_section
from esn_dist.report.sections.pools import pool_section
from esn_dist.report.sections.positions import position_section
from esn_dist.report.sections.provenance import provenance_section
from esn_dist.report.sections.published import published_section
from esn_dist.report.sections.searches import search_section
from esn_dist.report.sections.speakers import speaker_section
from esn_dist.report.sections.stability import stability_section
from esn_dist.report.sections.tests import cell_test_section, gap_test_section
from esn_dist.report.sections.utterances import utterance_section

Builder = Callable[[Results], Section | None]  # None: the sweep has nothing to show

SUMMARY: tuple[Builder, ...] = (
    overview_section,
    effect_section,
    baseline_section,
    margin_section,
    missing_answer_section,
    exclusion_section,
)
"""What `esn-dist report` prints."""

COMPLETE: tuple[Builder, ...] = (
    overview_section,
    effect_section,
    baseline_section,
    margin_section,
    agnostic_section,
    heat_map_section,
    curve_section,
    pair_section,
    search_section,
    layer_section,
    gap_test_section,
    cell_test_section,
    overlap_section,
    stability_section,
    published_section,
    move_section,
    position_section,
    utterance_section,
    missing_answer_section,
    exclusion_section,
    pool_section,
    speaker_section,
    failure_section,
    provenance_section,
)
"""What `esn-dist report --out` writes."""


def build_document(results: Results, builders: Sequence[Builder] = COMPLETE) -> Document:
    """The report of a store."""
    sections = (build(results) for build in builders)
    return Document(results.title, tuple(section for section in sections if section is not None))

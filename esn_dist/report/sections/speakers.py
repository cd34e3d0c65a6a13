"""Whether the speakers of evaluation and identification sets are disjoint."""

from __future__ import annotations

from esn_dist.report.document import Bullets, Section
from esn_dist.report.results import Results
from esn_dist.report.speakers import speaker_rows, speaker_text


def speaker_section(results: Results) -> Section:
    """A sentence per corpus; the utterances are in `speakers.csv`."""
    sentences = tuple(map(speaker_text, results.speakers))
    return Section("speakers", "Speakers", (Bullets(sentences),), {"speakers": list(speaker_rows(results.speakers))})

"""Counts the labels of a corpus for a plan, in a fraction of a second.

Opens no audio. Where nothing is counted the reason is given, so that a plan can fall back on published counts.
"""

from __future__ import annotations

from esn_dist.corpora.loader import NEEDS_A_SCAN, loader_of
from esn_dist.sweep.candidate_counts import LabelCounts
from esn_dist.sweep.corpus_spec import CorpusSpec

LARGEST_INDEX = 24 << 20  # bytes; counted in about half a second. MSP-Podcast 2.0 has 16 MB.


def count_labels(spec: CorpusSpec) -> LabelCounts:
    """Utterances of `spec` by split and emotion, or why they were not counted.

    Raises:
        UserError: the corpus is there and does not have the form that the spec says.
    """
    loader = loader_of(spec)
    if missing := [path for path in spec.paths if not path.exists()]:
        return LabelCounts(None, f"nothing at {missing[0]}")
    if loader.count_labels is None:
        return LabelCounts(None, loader.no_count_reason)
    if loader.index_file is not None and loader.index_file(spec).stat().st_size > LARGEST_INDEX:
        return LabelCounts(None, NEEDS_A_SCAN)
    return LabelCounts(loader.count_labels(spec), f"counted in {', '.join(map(str, spec.paths))}")

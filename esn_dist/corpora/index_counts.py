"""A look at a corpus that takes a fraction of a second: its labels counted, where the index is small enough to read.

Opens no audio. What is not counted is said with the reason, so that a plan can fall back on published counts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from esn_dist.corpora.iemocap import read_iemocap
from esn_dist.corpora.manifest import count_manifest
from esn_dist.corpora.meld import read_meld
from esn_dist.corpora.msp_podcast import consensus_table, count_msp_podcast
from esn_dist.corpora.utterance import Listing
from esn_dist.sweep.candidate_counts import Found
from esn_dist.sweep.corpus_spec import (
    AudioFolderCorpus,
    CorpusSpec,
    HuggingFaceCorpus,
    IemocapCorpus,
    ManifestCorpus,
    MeldCorpus,
    MspPodcastCorpus,
    SyntheticCorpus,
)

CHEAP = 24 << 20  # bytes of a table that are counted in about half a second; MSP-Podcast 2.0 has 16 MB


def glance(spec: CorpusSpec) -> Found:
    """Utterances of `spec` by split and emotion, or why they were not counted.

    Raises:
        UserError: the corpus is there and cannot be read as what the spec says it is.
    """
    if isinstance(spec, SyntheticCorpus):
        return Found(None, "made on the spot")
    if not spec.path.exists():
        return Found(None, f"nothing at {spec.path}")
    counts = _counted(spec)
    if counts is None:
        return Found(None, "its index takes too long for a plan (`esn-dist corpora` counts it)")
    return Found(counts, f"counted in {spec.path}")


def by_split(listing: Listing) -> Counter[tuple[str, str]]:
    """Utterances of the studied emotions by (split, emotion)."""
    return Counter((utterance.split, utterance.emotion) for utterance in listing.utterances)


def _counted(spec: CorpusSpec) -> Counter[tuple[str, str]] | None:
    match spec:
        case IemocapCorpus():
            return by_split(read_iemocap(spec.path, spec.emotions, excited_is_joy=spec.excited_is_joy))
        case MeldCorpus():
            return by_split(read_meld(spec.path, spec.emotions))
        case MspPodcastCorpus() if _cheap(consensus_table(spec.path)):
            return count_msp_podcast(spec.path)
        case ManifestCorpus() if _cheap(spec.path):
            return count_manifest(spec.path, spec.columns, spec.labels)
        case AudioFolderCorpus() | HuggingFaceCorpus():
            return None  # known only by walking all of it
    return None


def _cheap(table: Path) -> bool:
    return table.stat().st_size <= CHEAP

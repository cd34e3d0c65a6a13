"""What a selection's pass over counts reads: how many shards as their sum, and how many row by row.

Follows `esn_dist.selection.count_passes` without reading a count. Knows no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from esn_dist.selection.identification_sets import (
    CountedUtterances,
    counted_utterances,
    identification_sets,
    shared_emotions,
)
from esn_dist.store.folder import StoreFolder
from esn_dist.sweep.keys import MaskKey
from esn_dist.terms import JOIN, SHARD_ROWS
from esn_dist.worker.job import CorpusItems


class ShardReads(NamedTuple):
    """Number of shards read as their sum, and row by row. A shard is in both if two sizes need it differently."""

    summed: int
    by_rows: int


class SelectionPasses:
    """Passes of one model. Masks of the same corpora and parts share a pass.

    Args:
        caps: number of correctly answered utterances per emotion, by corpus.
    """

    def __init__(
        self, folder: StoreFolder, model: str, corpora: Mapping[str, CorpusItems], caps: Mapping[str, int]
    ) -> None:
        self.corpora, self.caps = corpora, caps
        self._candidates = {name: counted_utterances(folder, model, name) for name in corpora}

    def read_for(self, mask: MaskKey, masks: Iterable[MaskKey]) -> ShardReads:
        """What the pass for `mask` reads. It serves all sizes that `masks` need of the same corpora and parts."""
        sizes = {m.size for m in masks if (m.corpus, m.parts) == (mask.corpus, mask.parts)}
        names = mask.corpus.split(JOIN)
        candidates = [self._candidates[name] for name in names]
        emotions = shared_emotions([self.corpora[name].emotions for name in names])
        caps = [self.caps[name] for name in names]
        chosen = [identification_sets(candidates, emotions, size, caps) for size in sizes if size]
        reads = [
            _reads(self.corpora[name], of_corpus, [of_size[index].code >= 0 for of_size in chosen])
            for index, (name, of_corpus) in enumerate(zip(names, candidates, strict=True))
        ]
        return ShardReads(sum(r.summed for r in reads), sum(r.by_rows for r in reads))


def _reads(corpus: CorpusItems, candidates: CountedUtterances, chosen: list[np.ndarray]) -> ShardReads:
    """Reads of one corpus. `chosen` holds, for each size, whether each candidate is in the set."""
    shard = np.flatnonzero([clip is not None for clip in corpus.identification]) // SHARD_ROWS
    correct = np.bincount(shard, candidates.correct)
    summed, by_rows = np.zeros(len(correct), bool), np.zeros(len(correct), bool)
    for of_size in chosen:
        picked = np.bincount(shard, of_size)
        summed |= (picked > 0) & (picked == correct)
        by_rows |= (picked > 0) & (picked < correct)
    return ShardReads(int(summed.sum()), int(by_rows.sum()))

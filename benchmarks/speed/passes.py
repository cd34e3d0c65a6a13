"""What a selector's pass reads of a made store: how many shards as their sum, and how many row by row.

Follows `esn_dist.selection.passes` without reading a count. Knows no clock.
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


class Shards(NamedTuple):
    """Shards of one pass: `summed` are read as their sum, `by_rows` row by row; a shard may be both, for two sizes."""

    summed: int
    by_rows: int


class Passes:
    """Every pass of one model, which all masks share that rest on the same corpora and parts.

    Args:
        caps: by corpus.
    """

    def __init__(
        self, folder: StoreFolder, model: str, corpora: Mapping[str, CorpusItems], caps: Mapping[str, int]
    ) -> None:
        self.corpora, self.caps = corpora, caps
        self._candidates = {name: counted_utterances(folder, model, name) for name in corpora}

    def read_for(self, mask: MaskKey, masks: Iterable[MaskKey]) -> Shards:
        """What the pass for `mask` reads; it serves all sizes that `masks` ask of the same corpora and parts."""
        sizes = {m.size for m in masks if (m.corpus, m.parts) == (mask.corpus, mask.parts)}
        names = mask.corpus.split(JOIN)
        found = [self._candidates[name] for name in names]
        emotions = shared_emotions([self.corpora[name].emotions for name in names])
        caps = [self.caps[name] for name in names]
        chosen = [identification_sets(found, emotions, size, caps) for size in sizes if size]
        each = [
            _shards(self.corpora[name], of, [one[index].code >= 0 for one in chosen])
            for index, (name, of) in enumerate(zip(names, found, strict=True))
        ]
        return Shards(sum(one.summed for one in each), sum(one.by_rows for one in each))


def _shards(corpus: CorpusItems, candidates: CountedUtterances, chosen: list[np.ndarray]) -> Shards:
    """`chosen` says of every candidate whether it counts, for each size."""
    shard = np.flatnonzero([clip is not None for clip in corpus.identification]) // SHARD_ROWS
    right = np.bincount(shard, candidates.correct)
    summed, by_rows = np.zeros(len(right), bool), np.zeros(len(right), bool)
    for of_size in chosen:
        picked = np.bincount(shard, of_size)
        summed |= (picked > 0) & (picked == right)
        by_rows |= (picked > 0) & (picked < right)
    return Shards(int(summed.sum()), int(by_rows.sum()))

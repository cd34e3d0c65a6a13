"""One pass over a corpus's counts for any number of sums, which reads no more of them than these need.

A store also holds what the correctly answered utterances of each shard sum to. Where exactly these are chosen, that is
read instead of 32 rows; where none is chosen, nothing; where a cap or a size cuts through a shard, its rows. The sums
are the same whole numbers each way. Knows no selectors, and not why an utterance was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from esn_dist.selection.firing import Identification, Sums
from esn_dist.selection.inputs import UtteranceCounts
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_shards
from esn_dist.store.shards import CountShard


def sum_counts(sums: Sequence[Sums], folder: StoreFolder, model: str, corpus: str) -> None:
    """Add all counts of a model on a corpus to each of `sums`; memory holds one shard."""
    for shard in count_shards(folder, model, corpus):
        for one in sums:
            add_shard(one, shard)


def add_shard(sums: Sums, shard: CountShard) -> None:
    """Add a shard, which holds utterances of one emotion."""
    chosen = sums.ahead(len(shard.T))
    if not chosen.any():
        sums.skip(len(chosen))
    elif np.array_equal(chosen, shard.correct) and (summed := shard.K_correct) is not None:
        sums.add_summed(summed, shard.positions)
    else:
        sums.add(shard.K, shard.positions)


def utterance_counts(
    chosen: Identification, parts: Sequence[int], folder: StoreFolder, model: str, corpus: str
) -> Iterator[UtteranceCounts]:
    """Counts of the chosen utterances of a model on a corpus, shard by shard; memory holds one shard."""
    start = 0
    for shard in count_shards(folder, model, corpus):
        codes = chosen.code[start : start + len(shard.T)]
        start += len(codes)
        rows = np.flatnonzero(codes >= 0)
        if len(rows):
            counted = np.ix_(rows, np.array(parts))
            K, T = (counts[counted].sum(axis=1, dtype=np.uint32) for counts in (shard.K, shard.positions))
            yield UtteranceCounts(int(codes[rows[0]]), K, T)

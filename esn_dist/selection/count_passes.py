"""One pass over a corpus's counts for any number of sums, which reads no more of them than these need.

A store also holds, for each shard, the sum over its correctly answered utterances. Where exactly these count, that sum
is read instead of 32 rows. Where no row counts, nothing is read; where a cap or a size cuts through a shard, its rows.
The sums are the same integers each way. Knows no selectors, and not why an utterance counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from esn_dist.selection.count_sums import CountSums
from esn_dist.selection.identification_sets import IdentificationSet
from esn_dist.selection.selection_input import UtteranceCounts
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import CountShard, count_shards


def sum_counts(sums: Sequence[CountSums], folder: StoreFolder, model: str, corpus: str) -> None:
    """Add all counts of a model on a corpus to each of `sums`; memory holds one shard."""
    for shard in count_shards(folder, model, corpus):
        for count_sum in sums:
            add_shard(count_sum, shard)


def add_shard(sums: CountSums, shard: CountShard) -> None:
    """Add a shard, which holds utterances of one emotion."""
    counting = sums.next_rows(len(shard.T))
    if not counting.any():
        sums.skip(len(counting))
    elif np.array_equal(counting, shard.correct) and (summed := shard.K_correct) is not None:
        sums.add_summed(summed, shard.positions)
    else:
        sums.add(shard.K, shard.positions)


def utterance_counts(
    identified: IdentificationSet, parts: Sequence[int], folder: StoreFolder, model: str, corpus: str
) -> Iterator[UtteranceCounts]:
    """Counts of an identification set, shard by shard; memory holds one shard."""
    start = 0
    for shard in count_shards(folder, model, corpus):
        codes = identified.code[start : start + len(shard.T)]
        start += len(codes)
        rows = np.flatnonzero(codes >= 0)
        if len(rows):
            counted = np.ix_(rows, np.array(parts))
            K_ULN, T_U = (counts[counted].sum(axis=1, dtype=np.uint32) for counts in (shard.K, shard.positions))
            yield UtteranceCounts(int(codes[rows[0]]), K_ULN, T_U)

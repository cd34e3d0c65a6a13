"""Passes over the counts of a model on a corpus, in the order of the store: each shard is read once, with one slice.

Memory holds one block of shards. Knows nothing of selectors.

Shapes: U utterances with counts, P parts, L layers, N neurons, E experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from esn_dist.store.columns import read_columns
from esn_dist.store.correct_sums import answered_correctly, has_counts
from esn_dist.store.describe import read_emotions
from esn_dist.store.folder import StoreFolder, counts_group, data_key
from esn_dist.store.lazy_rows import RowNumbers, read_rows
from esn_dist.store.tables import LabelTable
from esn_dist.store.zarr_nodes import Array, chunk_key, has_node, open_array, require_group
from esn_dist.terms import SHARD_ROWS


@dataclass(frozen=True, slots=True)
class CountBlock:
    """Counts of a group of shards, written rows only.

    Attributes:
        rows: of the store that the block covers, pad rows included.
        utterance, label: id and emotion of each of the U utterances.
        K: K[U, P, L, N].
        T: T[U, P].
        answer, outcome: [U], of the model without intervention.
        T_expert: T_expert[U, P, L, E], positions that were routed to each expert; None without experts.
    """

    rows: slice
    utterance: tuple[str, ...]
    label: tuple[str, ...]
    K: npt.NDArray[np.uint16]
    T: npt.NDArray[np.uint16]
    answer: npt.NDArray[np.int8]
    outcome: npt.NDArray[np.uint8]
    T_expert: npt.NDArray[np.uint16] | None = None

    @property
    def positions(self) -> npt.NDArray[np.uint16]:
        """The T of P = K / T: T_expert of a model with experts, else T."""
        return self.T if self.T_expert is None else self.T_expert


@dataclass(frozen=True, eq=False)
class CountShard:
    """The utterances of one shard that have counts; K and its sum are read on first use.

    Attributes:
        T: T[U, P].
        correct: correct[U], whether the model without intervention answered with the label.
        kept: [U], their rows in the store.
        arrays: of the counts; without "K_correct" where the store was made before it or the shard has none.
    """

    T: npt.NDArray[np.uint16]
    correct: npt.NDArray[np.bool_]
    kept: RowNumbers
    arrays: Mapping[str, Array]

    @cached_property
    def K(self) -> npt.NDArray[np.uint16]:
        """K[U, P, L, N]."""
        return read_rows(self.arrays["K"], self.kept)

    @cached_property
    def K_correct(self) -> npt.NDArray[np.uint32] | None:
        """K[P, L, N] summed over the correct utterances; None where only the rows can tell."""
        array = self.arrays.get("K_correct")
        return None if array is None else np.asarray(array[int(self.kept[0]) // SHARD_ROWS])

    @cached_property
    def positions(self) -> npt.NDArray[np.uint16]:
        """The T of P = K / T: T_expert of a model with experts, else T."""
        return read_rows(self.arrays["T_expert"], self.kept) if "T_expert" in self.arrays else self.T


def count_blocks(folder: StoreFolder, model: str, corpus: str, shards: int = 1) -> Iterator[CountBlock]:
    """All counts, `shards` shards (of 32 utterances, one emotion each) at a time. Blocks without counts are left out.

    Raises `UserError` where the store has no counts of this model on this corpus.
    """
    group = require_group(folder, counts_group(model, corpus))
    labels = read_columns(folder, group, LabelTable)
    names = ("T", "answer", "outcome", "K", *expert_arrays(folder, group))
    arrays = {name: open_array(folder, f"{group}/{name}") for name in names}
    for rows, kept in _blocks(labels, arrays["T"], shards):
        values = {name: read_rows(array, kept) for name, array in arrays.items()}
        table = labels.take(map(int, kept))
        yield CountBlock(rows, table.id, table.label, **values)


def count_shards(folder: StoreFolder, model: str, corpus: str) -> Iterator[CountShard]:
    """All shards, each able to read its K or only the sum over its correct utterances.

    Raises `UserError` where the store has no counts of this model on this corpus.
    """
    group = require_group(folder, counts_group(model, corpus))
    labels, emotions = read_columns(folder, group, LabelTable), read_emotions(folder, corpus)
    # 1. Whole small arrays: T [rows, P], answer [rows], outcome [rows]. A chunk is a few bytes; a call costs 1 ms.
    T, answer, outcome = (np.asarray(open_array(folder, f"{group}/{name}")[:]) for name in ("T", "answer", "outcome"))
    correct = answered_correctly(outcome, answer, labels.label, emotions)
    # 2. Large arrays are only opened: K [rows, P, L, N], T_expert [rows, P, L, E], K_correct [shards, P, L, N].
    names = ("K", *expert_arrays(folder, group))
    arrays = {name: open_array(folder, f"{group}/{name}") for name in names}
    sums = open_array(folder, f"{group}/K_correct") if has_node(folder, f"{group}/K_correct") else None
    # 3. One shard of 32 rows at a time, of which U have counts.
    for rows, kept in _blocks(labels, T, 1):
        has_sum = sums is not None and _sum_exists(folder, group, sums, rows.start // SHARD_ROWS)
        with_sum = {"K_correct": sums} if sums is not None and has_sum else {}
        yield CountShard(T[kept], correct[kept], kept, arrays | with_sum)


def expert_arrays(folder: StoreFolder, group: str) -> tuple[str, ...]:
    """Names of the arrays that only models with experts have."""
    return ("T_expert",) if has_node(folder, f"{group}/T_expert") else ()


def _blocks(labels: LabelTable, T: Array | npt.NDArray[np.uint16], shards: int) -> Iterator[tuple[slice, RowNumbers]]:
    """Rows of every `shards` shards, and those among them that have counts; blocks without any are left out."""
    for start in range(0, len(labels), shards * SHARD_ROWS):
        rows = slice(start, min(start + shards * SHARD_ROWS, len(labels)))
        named = np.array([bool(row_id) for row_id in labels.id[rows]])
        kept = np.flatnonzero(named & has_counts(np.asarray(T[rows]))) + start
        if len(kept):
            yield rows, kept


def _sum_exists(folder: StoreFolder, group: str, sums: Array, shard: int) -> bool:
    """Whether the sum of `shard` was written: a missing chunk reads as zeros."""
    key = chunk_key(sums, (shard, *(0 for _ in sums.shape[1:])))
    return folder.backend.exists(data_key(f"{group}/K_correct/{key}"))

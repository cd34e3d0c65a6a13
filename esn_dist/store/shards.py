"""A shard of counts beside the sum over its correctly answered utterances: who is correct, the sum, reading either.

A selection needs K of the correct ones of each emotion only, and a shard holds one emotion: where all its correct ones
are wanted, their sum says the same as its 32 rows. Knows nothing of who asks for what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from esn_dist.store.lazy import Positions, read_rows
from esn_dist.store.schema import Array
from esn_dist.terms import SHARD_ROWS, T_NOT_WRITTEN, Outcome


@dataclass(frozen=True, eq=False)
class CountShard:
    """The utterances of one shard that have counts; K, or its sum, is read when it is first asked for.

    Attributes:
        T: T[utterance, part].
        correct: correct[utterance], whether the unintervened model answered with the label.
        kept: their rows in the store.
        arrays: of the counts; without "K_correct" where the store was made before it or the shard has none.
    """

    T: npt.NDArray[np.uint16]
    correct: npt.NDArray[np.bool_]
    kept: Positions
    arrays: Mapping[str, Array]

    @cached_property
    def K(self) -> npt.NDArray[np.uint16]:
        """K[utterance, part, layer, neuron]."""
        return read_rows(self.arrays["K"], self.kept)

    @cached_property
    def K_correct(self) -> npt.NDArray[np.uint32] | None:
        """K[part, layer, neuron] summed over the correct ones; None where only the rows can say."""
        array = self.arrays.get("K_correct")
        return None if array is None else np.asarray(array[int(self.kept[0]) // SHARD_ROWS])

    @cached_property
    def positions(self) -> npt.NDArray[np.uint16]:
        """The T of P = K/T: that of each expert where there are any."""
        return read_rows(self.arrays["T_expert"], self.kept) if "T_expert" in self.arrays else self.T


def answered_correctly(
    outcome: npt.NDArray[np.uint8],
    answer: npt.NDArray[np.int8],
    label: Sequence[str] | npt.NDArray[np.str_],
    emotions: Sequence[str] | npt.NDArray[np.str_],
) -> npt.NDArray[np.bool_]:
    """Whether the model answered each utterance, and with its label. `answer` holds codes of `emotions`."""
    said = np.asarray(emotions)[answer]  # code -1 reads as some emotion; the outcome says it is none
    return np.asarray((outcome == Outcome.ANSWERED) & (said == np.asarray(label)))


def correct_sums(
    K: npt.NDArray[np.uint16], T: npt.NDArray[np.uint16], correct: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint32]:
    """K_correct[shard, part, layer, neuron] of whole shards: K summed over rows that are correct and have counts.

    32 counts of 16 bits cannot overflow 32.
    """
    sums = np.zeros((len(K) // SHARD_ROWS, *K.shape[1:]), np.uint32)
    for row in np.flatnonzero(correct & has_counts(T)):
        sums[row // SHARD_ROWS] += K[row]
    return sums


def has_counts(T: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    """Whether each row of T[row, part] was written with counts; an unreadable utterance was written without."""
    return np.asarray((T != T_NOT_WRITTEN).all(axis=1))

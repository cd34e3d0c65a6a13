"""Who was answered correctly, and K summed over the correct utterances of each shard.

Selectors need K of the correct utterances of one emotion only, and a shard holds one emotion. Where all of its correct
utterances are used, their sum replaces its 32 rows. Knows no Zarr and no selectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from esn_dist.terms import SHARD_ROWS, T_NOT_WRITTEN, Outcome


def answered_correctly(
    outcome: npt.NDArray[np.uint8],
    answer: npt.NDArray[np.int8],
    label: Sequence[str] | npt.NDArray[np.str_],
    emotions: Sequence[str] | npt.NDArray[np.str_],
) -> npt.NDArray[np.bool_]:
    """Whether the model answered each utterance with its label: correct[utterance].

    Args:
        outcome, answer, label: of each utterance. `answer` holds codes of `emotions`; −1 is no answer.
    """
    answered_emotion = np.asarray(emotions)[answer]  # code −1 reads as some emotion, and its outcome excludes it
    return np.asarray((outcome == Outcome.ANSWERED) & (answered_emotion == np.asarray(label)))


def correct_sums(
    K: npt.NDArray[np.uint16], T: npt.NDArray[np.uint16], correct: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint32]:
    """K_correct[shard, part, layer, neuron] of whole shards: K summed over rows that are correct and have counts.

    32 counts of 16 bits cannot overflow 32 bits.
    """
    sums = np.zeros((len(K) // SHARD_ROWS, *K.shape[1:]), np.uint32)
    for row in np.flatnonzero(correct & has_counts(T)):
        sums[row // SHARD_ROWS] += K[row]
    return sums


def has_counts(T: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    """Whether each row of T[row, part] was written with counts; an unreadable utterance was written without."""
    return np.asarray((T != T_NOT_WRITTEN).all(axis=1))

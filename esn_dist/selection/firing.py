"""How often every gate fired per emotion, K and T, summed exactly from the counts of correctly answered utterances.

Knows neither models nor stores: rows of counts arrive in blocks (a full-size K is tens of gigabytes) and leave as sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError

Block = tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]
NOT_WRITTEN = np.iinfo(np.uint16).max  # fill value of T; 0 is a legal count of generated positions


class NothingIdentified(UserError):
    """An emotion has no correctly answered utterance, or none with a counted position: it has no firing statistics."""


@dataclass(frozen=True, slots=True)
class Identification:
    """Which utterances count towards which emotion: the first `size` correctly answered ones of each.

    Attributes:
        emotions: the corpus's emotions, in its order.
        pool: correctly answered utterances of each emotion, before any cap.
        asked: the size that was wanted; None for "auto".
        size: utterances used of every emotion (the same number, so that the selectors compare like with like).
        code: code[utterance], position in `emotions`; -1 = the utterance does not count.
    """

    emotions: tuple[str, ...]
    pool: tuple[int, ...]
    asked: int | None
    size: int
    code: npt.NDArray[np.int8]

    @property
    def shrunk(self) -> bool:
        """Whether the pool was smaller than what was asked for; to be shown with the results."""
        return self.asked is not None and self.size < self.asked


@dataclass(frozen=True, slots=True)
class Firing:
    """Positive-activation counts K[emotion, layer, neuron] and valid positions T[emotion], both int64 (paper §3.1)."""

    emotions: tuple[str, ...]
    K: npt.NDArray[np.int64]
    T: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.K.ndim != 3 or self.T.shape != (len(self.emotions),) or len(self.K) != len(self.emotions):
            raise ValueError(f"K{self.K.shape} and T{self.T.shape} do not fit {len(self.emotions)} emotions")
        if (self.T <= 0).any() or (self.T >= 2**31).any():
            raise ValueError(f"T must lie within 1..2^31-1 (products of two must fit 64 bits), not {self.T.tolist()}")
        if (self.K < 0).any() or np.greater(self.K, self.T[:, None, None]).any():
            raise ValueError("a gate cannot fire at fewer than 0 or more than T positions")

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """P[emotion, layer, neuron] = K / T."""
        return self.K / self.T[:, None, None]


def identify(
    labels: Sequence[str] | npt.NDArray[np.str_],
    correct: npt.NDArray[np.bool_],
    emotions: Sequence[str],
    *,
    size: int | Literal["auto"] = "auto",
    cap: int | None = None,
) -> Identification:
    """Chooses the first correctly answered utterances of each emotion, in row order (the seeded order of the pool).

    Args:
        labels: the true emotion of each utterance.
        correct: correct[utterance], whether the unintervened model answered with the label.
        emotions: the corpus's emotions, in its order.
        size: utterances of each emotion; "auto" takes what the poorest emotion has. A larger one is shrunk to that.
        cap: at most so many of each emotion.

    Raises:
        NothingIdentified: an emotion has no correctly answered utterance.
    """
    if size != "auto" and size < 1:
        raise UserError(f"identification size {size}", expected="a number from 1, or auto")
    rows = [np.flatnonzero(correct & (np.asarray(labels) == emotion)) for emotion in emotions]
    pool = tuple(len(of_emotion) for of_emotion in rows)
    _refuse_empty(emotions, pool, "no correctly answered utterance in the identification set", "enlarge the pool")
    limits = [*pool, *([] if cap is None else [cap]), *([] if size == "auto" else [size])]
    used = min(limits)
    code = np.full(len(correct), -1, np.int8)
    for emotion, of_emotion in enumerate(rows):
        code[of_emotion[:used]] = emotion
    return Identification(tuple(emotions), pool, None if size == "auto" else size, used, code)


def accumulate(chosen: Identification, blocks: Iterable[Block], parts: Sequence[int]) -> Firing:
    """Sums the counts of the chosen utterances over the given parts, one block of rows at a time.

    Args:
        chosen: which utterance counts towards which emotion.
        blocks: (K[utterance, part, layer, neuron], T[utterance, part]) uint16, together all rows in order.
        parts: positions on the part axis to sum, each once.

    Raises:
        NothingIdentified: an emotion has no counted position in these parts (answers of one token generate none).
        ValueError: a chosen row was never written, or the blocks are not exactly the rows.
    """
    sums: npt.NDArray[np.int64] | None = None
    positions = np.zeros(len(chosen.emotions), np.int64)
    start = 0
    for K, T in blocks:
        codes = chosen.code[start : start + len(K)]
        if sums is None:
            sums = np.zeros((len(chosen.emotions), *K.shape[2:]), np.int64)
        for row in np.flatnonzero(codes >= 0):
            if (T[row] == NOT_WRITTEN).any():
                raise ValueError(f"the counts of utterance {start + row} were never written")
            positions[codes[row]] += T[row, list(parts)].sum(dtype=np.int64)
            for part in parts:
                sums[codes[row]] += K[row, part]
        start += len(K)
    if sums is None or start != len(chosen.code):
        raise ValueError(f"blocks hold {start} utterances, not the {len(chosen.code)} that were chosen from")
    _refuse_empty(chosen.emotions, positions.tolist(), "no position in the counted parts", "count more parts")
    return Firing(chosen.emotions, sums, positions)


def pooled(firings: Sequence[Firing]) -> Firing:
    """Counts of several corpora as one: K and T summed over `firings`, which have the same emotions and gates."""
    if len({firing.emotions for firing in firings}) != 1:
        raise ValueError(f"firings of different emotions: {[firing.emotions for firing in firings]}")
    K, T = sum(firing.K for firing in firings), sum(firing.T for firing in firings)
    return Firing(firings[0].emotions, np.asarray(K), np.asarray(T))


def _refuse_empty(emotions: Sequence[str], counts: Sequence[int], lack: str, fix: str) -> None:
    empty = [emotion for emotion, count in zip(emotions, counts, strict=True) if not count]
    if empty:
        raise NothingIdentified(f"emotion {', '.join(map(repr, empty))} has {lack}", fix=fix)

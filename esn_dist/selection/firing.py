"""How often every gate fired per emotion, K and T, summed exactly from the counts of correctly answered utterances.

Knows neither models nor stores: rows of counts arrive in blocks (a full-size K is tens of gigabytes) and leave as sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError

Block = tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]
"""K[utterance, part, layer, neuron], and T[utterance, part] or, of experts, T[utterance, part, layer, expert]."""
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
    """Positive-activation counts K[emotion, layer, neuron] and valid positions T[emotion], both int64 (paper §3.1).

    Of experts T[emotion, layer, expert]: the positions that were routed there. Neuron (e, i) has number e · I + i.
    """

    emotions: tuple[str, ...]
    K: npt.NDArray[np.int64]
    T: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.K.ndim != 3 or len(self.K) != len(self.emotions) or not self._fits():
            raise ValueError(f"K{self.K.shape} and T{self.T.shape} do not fit {len(self.emotions)} emotions")
        fewest = 1 if self.T.ndim == 1 else 0  # an expert may have seen no position of an emotion
        if self.T.min() < fewest or self.T.max() >= 2**31:
            raise ValueError(
                f"T must lie within {fewest}..2^31-1 (products of two must fit 64 bits), not {self.T.tolist()}"
            )
        if (self.K < 0).any() or np.greater(self.K, self.positions).any():
            raise ValueError("a gate cannot fire at fewer than 0 or more than T positions")

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """T as it divides K: [emotion, 1, 1], or of experts [emotion, layer, neuron]."""
        if self.T.ndim == 1:
            return self.T[:, None, None]
        return np.repeat(self.T, self.K.shape[2] // self.T.shape[2], axis=2)

    @property
    def comparable(self) -> npt.NDArray[np.bool_]:
        """[layer, neuron] or [1, 1]: P is defined for every emotion; false where an expert never saw one of them."""
        return np.asarray((self.positions > 0).all(axis=0))

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """P[emotion, layer, neuron] = K / T; NaN where the neuron's expert was never asked: silence is no evidence."""
        positions = self.positions
        P: npt.NDArray[np.float64] = np.full(self.K.shape, np.nan)
        np.divide(self.K, positions, out=P, where=positions > 0)
        return P

    def blocks(self) -> Iterator[tuple[int, slice, tuple[int, ...]]]:
        """Layer, neurons and T[emotion] of all runs of neurons that share their T."""
        emotions, layers, width = self.K.shape
        T_ELX = np.broadcast_to(self.T[:, None, None], (emotions, layers, 1)) if self.T.ndim == 1 else self.T
        share = width // T_ELX.shape[2]
        for layer, expert in np.ndindex(T_ELX.shape[1:]):
            yield layer, slice(expert * share, (expert + 1) * share), tuple(T_ELX[:, layer, expert].tolist())

    def _fits(self) -> bool:
        if self.T.ndim == 1:
            return len(self.T) == len(self.emotions)
        layers, width = self.K.shape[1:]
        return self.T.shape[:2] == (len(self.emotions), layers) and width % self.T.shape[2] == 0


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


class Sums:
    """The counts of the chosen utterances over the given parts, added up one block of rows at a time.

    Several of them may be filled from one reading of the counts.

    Args:
        chosen: which utterance counts towards which emotion.
        parts: positions on the part axis to sum, each once.
    """

    def __init__(self, chosen: Identification, parts: Sequence[int]) -> None:
        self.chosen, self.parts = chosen, list(parts)
        self._K: npt.NDArray[np.int64] | None = None
        self._T: npt.NDArray[np.int64] | None = None
        self._rows = 0

    def add(self, K: npt.NDArray[np.uint16], T: npt.NDArray[np.uint16]) -> None:
        """Add the next rows (see `Block`). Raises `ValueError` where a chosen one was never written."""
        codes, sums = self._take(K.shape[2:], T)
        for row in np.flatnonzero(codes >= 0):
            for part in self.parts:
                sums[codes[row]] += K[row, part]

    def add_summed(self, K: npt.NDArray[np.uint32], T: npt.NDArray[np.uint16]) -> None:
        """Add the next rows by K[part, layer, neuron], the sum over those of them that are chosen, all of one emotion.

        T is that of every row, as in `add`. Raises `ValueError` as `add`, and where they are of several emotions.
        """
        codes, sums = self._take(K.shape[1:], T)
        emotions = np.unique(codes[codes >= 0])
        if len(emotions) != 1:
            raise ValueError(f"one sum cannot be that of {len(emotions)} emotions")
        for part in self.parts:
            sums[emotions[0]] += K[part]

    def skip(self, rows: int) -> None:
        """Pass over the next rows, none of which is chosen."""
        if self.ahead(rows).any():
            raise ValueError(f"{rows} rows from {self._rows} on are passed over, and some of them are chosen")
        self._rows += rows

    def ahead(self, rows: int) -> npt.NDArray[np.bool_]:
        """Which of the next rows are chosen."""
        return np.asarray(self.chosen.code[self._rows : self._rows + rows] >= 0)

    def _take(
        self, gates: tuple[int, ...], T: npt.NDArray[np.uint16]
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
        """Add the T of the next rows; returns their codes, and the K of each emotion to add theirs to."""
        codes = self.chosen.code[self._rows : self._rows + len(T)]
        if self._K is None or self._T is None:
            self._T = np.zeros((len(self.chosen.emotions), *T.shape[2:]), np.int64)
            self._K = np.zeros((len(self.chosen.emotions), *gates), np.int64)
        for row in np.flatnonzero(codes >= 0):
            if (T[row] == NOT_WRITTEN).any():
                raise ValueError(f"the counts of utterance {self._rows + row} were never written")
            self._T[codes[row]] += T[row, self.parts].sum(axis=0, dtype=np.int64)
        self._rows += len(T)
        return codes, self._K

    def firing(self) -> Firing:
        """What was added up.

        Raises:
            NothingIdentified: an emotion has no counted position in these parts (answers of one token generate none).
            ValueError: the blocks were not exactly the rows.
        """
        if self._K is None or self._T is None or self._rows != len(self.chosen.code):
            raise ValueError(f"blocks hold {self._rows} utterances, not the {len(self.chosen.code)} chosen from")
        per_emotion = self._T.reshape(len(self._T), -1).sum(axis=1)
        lack = "no position in the counted parts"
        _refuse_empty(self.chosen.emotions, per_emotion.tolist(), lack, "count more parts")
        return Firing(self.chosen.emotions, self._K, self._T)


def accumulate(chosen: Identification, blocks: Iterable[Block], parts: Sequence[int]) -> Firing:
    """Sums the counts of the chosen utterances over the given parts; `blocks` are together all rows, in order.

    From every row: the plain way, which `passes` shortens where a store holds sums.

    Raises:
        NothingIdentified, ValueError: as `Sums`.
    """
    sums = Sums(chosen, parts)
    for K, T in blocks:
        sums.add(K, T)
    return sums.firing()


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

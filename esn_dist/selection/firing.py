"""Firing statistics: how often every gate fired per emotion, as the integers K and T that probabilities are made of.

Knows neither models nor stores, and not which utterances were counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
                f"T must be within {fewest}..2^31-1 (products of two must fit 64 bits), not {self.T.tolist()}"
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
        """P[emotion, layer, neuron] = K / T; NaN where the neuron's expert saw no position: silence is no evidence."""
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


def pooled_firing(firings: Sequence[Firing]) -> Firing:
    """Counts of several corpora as one: K and T summed over `firings`, which have the same emotions and gates."""
    if len({firing.emotions for firing in firings}) != 1:
        raise ValueError(f"firings of different emotions: {[firing.emotions for firing in firings]}")
    K, T = sum(firing.K for firing in firings), sum(firing.T for firing in firings)
    return Firing(firings[0].emotions, np.asarray(K), np.asarray(T))

"""Counts of identifying utterances, summed exactly: rows arrive in blocks, since a full-size K is tens of gigabytes.

Knows no stores and no selectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from esn_dist.selection.firing import Firing
from esn_dist.selection.identification_sets import IdentificationSet, require_some_of_each
from esn_dist.terms import T_NOT_WRITTEN

CountRows = tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]
"""K[utterance, part, layer, neuron], and T[utterance, part] or, of experts, T[utterance, part, layer, expert]."""


class CountSums:
    """The counts of an identification set over the given parts, added up one block of rows at a time.

    Several of them may be filled from one reading of the counts.

    Args:
        identified: which utterance counts towards which emotion.
        parts: positions on the part axis to sum, each once.
    """

    def __init__(self, identified: IdentificationSet, parts: Sequence[int]) -> None:
        self.identified, self.parts = identified, list(parts)
        self._K: npt.NDArray[np.int64] | None = None
        self._T: npt.NDArray[np.int64] | None = None
        self._rows = 0

    def add(self, K: npt.NDArray[np.uint16], T: npt.NDArray[np.uint16]) -> None:
        """Add the next rows (see `CountRows`). Raises `ValueError` where a row that counts was never written."""
        codes, K_ELN = self._add_positions(K.shape[2:], T)
        for row in np.flatnonzero(codes >= 0):
            for part in self.parts:
                K_ELN[codes[row]] += K[row, part]

    def add_summed(self, K: npt.NDArray[np.uint32], T: npt.NDArray[np.uint16]) -> None:
        """Add the next rows by K[part, layer, neuron], the sum over those of them that count, all of one emotion.

        T is that of every row, as in `add`. Raises `ValueError` as `add`, and where they are of several emotions.
        """
        codes, K_ELN = self._add_positions(K.shape[1:], T)
        emotions = np.unique(codes[codes >= 0])
        if len(emotions) != 1:
            raise ValueError(f"one sum cannot be that of {len(emotions)} emotions")
        for part in self.parts:
            K_ELN[emotions[0]] += K[part]

    def skip(self, rows: int) -> None:
        """Pass over the next rows, none of which counts."""
        if self.next_rows(rows).any():
            raise ValueError(f"{rows} rows from {self._rows} on are passed over, and some of them count")
        self._rows += rows

    def next_rows(self, rows: int) -> npt.NDArray[np.bool_]:
        """Which of the next rows count."""
        return np.asarray(self.identified.code[self._rows : self._rows + rows] >= 0)

    def _add_positions(
        self, gates: tuple[int, ...], T: npt.NDArray[np.uint16]
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
        """Add the T of the next rows; returns their codes, and the K of each emotion to add theirs to."""
        codes = self.identified.code[self._rows : self._rows + len(T)]
        if self._K is None or self._T is None:
            self._T = np.zeros((len(self.identified.emotions), *T.shape[2:]), np.int64)
            self._K = np.zeros((len(self.identified.emotions), *gates), np.int64)
        for row in np.flatnonzero(codes >= 0):
            if (T[row] == T_NOT_WRITTEN).any():
                raise ValueError(f"the counts of utterance {self._rows + row} were never written")
            self._T[codes[row]] += T[row, self.parts].sum(axis=0, dtype=np.int64)
        self._rows += len(T)
        return codes, self._K

    def firing(self) -> Firing:
        """The sums.

        Raises:
            NothingIdentified: an emotion has no counted position in these parts (answers of one token generate none).
            ValueError: the blocks were not exactly the rows.
        """
        emotions, code = self.identified.emotions, self.identified.code
        if self._K is None or self._T is None or self._rows != len(code):
            raise ValueError(f"blocks hold {self._rows} utterances, not the {len(code)} of the identification set")
        per_emotion = self._T.reshape(len(self._T), -1).sum(axis=1)
        require_some_of_each(emotions, per_emotion.tolist(), "no position in the counted parts", "count more parts")
        return Firing(emotions, self._K, self._T)


def sum_blocks(identified: IdentificationSet, blocks: Iterable[CountRows], parts: Sequence[int]) -> Firing:
    """Sums the counts of an identification set over the given parts; `blocks` are together all rows, in order.

    Reads every row: the plain way, which `count_passes` shortens where a store holds sums.

    Raises:
        NothingIdentified, ValueError: as `CountSums`.
    """
    sums = CountSums(identified, parts)
    for K, T in blocks:
        sums.add(K, T)
    return sums.firing()

"""From stored counts to firing statistics, with the parameters of the sweep or with others. Needs no GPU.

Passes over the counts once, a shard at a time, in the store's order; where sums of shards suffice, over those. Knows no
selectors and no masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError, did_you_mean
from esn_dist.selection.count_passes import sum_counts
from esn_dist.selection.count_sums import CountSums
from esn_dist.selection.firing import Firing
from esn_dist.selection.identification_sets import (
    IdentificationSet,
    counted_utterances,
    identification_sets,
    shared_emotions,
)
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks, read_corpus
from esn_dist.sweep.keys import IdentificationSize
from esn_dist.terms import JOIN, PARTS


@dataclass(frozen=True, slots=True)
class IdentificationPool:
    """Which of a model's logged utterances are used to identify neurons.

    Attributes:
        corpus: a name, or several joined by "+", as in the masks that are identified over them.
        chosen: the sets of all corpora in their order; `available` and `size` are their sums.
        stratum: stratum[chosen utterance]: its corpus and emotion as one number.
    """

    folder: StoreFolder
    model: str
    corpus: str
    chosen: IdentificationSet
    parts: tuple[int, ...]
    stratum: npt.NDArray[np.int64]

    def firing(self) -> Firing:
        """K[emotion, layer, neuron] and T[emotion] (of experts T[emotion, layer, expert]) of the chosen utterances."""
        sums = CountSums(self.chosen, self.parts)
        for name in self.corpus.split(JOIN):
            sum_counts([sums], self.folder, self.model, name)
        return sums.firing()

    def blocks(self) -> Iterator[tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """code[utterance], K[utterance, layer, neuron], T[utterance] of the chosen ones, summed over the parts.

        Of experts T[utterance, layer, expert].
        """
        start = 0
        for block_K, block_T in self._counts():
            code = self.chosen.code[start : start + len(block_K)]
            chosen = np.ix_(np.flatnonzero(code >= 0), np.array(self.parts))
            start += len(block_K)
            K, T = (counts[chosen].sum(axis=1, dtype=np.int64) for counts in (block_K, block_T))
            yield code[code >= 0], K, T

    def _counts(self) -> Iterator[tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]]:
        for name in self.corpus.split(JOIN):
            yield from ((block.K, block.positions) for block in count_blocks(self.folder, self.model, name))


def identification_pool(
    folder: StoreFolder,
    model: str,
    corpus: str,
    *,
    size: IdentificationSize = "auto",
    cap: int | None = None,
    parts: Sequence[str] = PARTS,
    all_items: bool = False,
) -> IdentificationPool:
    """The identification pool of a model on a corpus, or on several joined by "+".

    Args:
        size: utterances per emotion from each corpus; "auto": as many as the rarest emotion has.
        cap: most utterances of each emotion from each corpus; default: the cap of the corpus.
        parts: positions whose counts are summed.
        all_items: also those that the unintervened model answered wrongly (the paper uses the correct ones only).

    Raises:
        UserError: an unknown part, no counts, or an emotion without any utterance.
    """
    for part in parts:
        if part not in PARTS:
            raise UserError(
                f"unknown part {part!r}.{did_you_mean(part, PARTS)}", expected=f"some of {', '.join(PARTS)}"
            )
    names = corpus.split(JOIN)
    facts = [read_corpus(folder, name) for name in names]
    emotions = shared_emotions([[str(emotion) for emotion in of["emotions"]] for of in facts])
    utterances = [counted_utterances(folder, model, name) for name in names]
    if all_items:
        utterances = [replace(counted, correct=np.full(len(counted.label), True)) for counted in utterances]
    caps = [(of.get("identification") or {}).get("cap") if cap is None else cap for of in facts]
    chosen = identification_sets(utterances, emotions, size, caps)
    positions = tuple(PARTS.index(part) for part in dict.fromkeys(parts))
    return IdentificationPool(folder, model, corpus, _joined(chosen), positions, _strata(chosen))


def _joined(chosen: Sequence[IdentificationSet]) -> IdentificationSet:
    """The sets of several corpora as a single one."""
    first, *others = chosen
    if not others:
        return first
    pools = tuple(map(sum, zip(*(of_corpus.available for of_corpus in chosen), strict=True)))
    code = np.concatenate([of_corpus.code for of_corpus in chosen])
    return IdentificationSet(first.emotions, pools, first.requested, sum(of_corpus.size for of_corpus in chosen), code)


def _strata(chosen: Sequence[IdentificationSet]) -> npt.NDArray[np.int64]:
    codes = [of_corpus.code[of_corpus.code >= 0].astype(np.int64) for of_corpus in chosen]
    return np.concatenate([code + number * len(chosen[0].emotions) for number, code in enumerate(codes)])

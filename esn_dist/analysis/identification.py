"""From stored counts to firing statistics, as the sweep itself takes them or with other parameters. Needs no GPU.

Passes over the counts once, a shard at a time, in the store's order. Knows no selectors and no masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError, did_you_mean
from esn_dist.selection.firing import Firing, Identification, accumulate, identify
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks, open_counts, read_corpus
from esn_dist.store.schema import PARTS
from esn_dist.task.answers import Outcome

Size = int | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Which of a model's logged utterances count, and where over the counts they lie."""

    folder: StoreFolder
    model: str
    corpus: str
    chosen: Identification
    parts: tuple[int, ...]

    def firing(self) -> Firing:
        """K[emotion, layer, neuron] and T[emotion] (of experts T[emotion, layer, expert]) of the chosen utterances."""
        blocks = ((block.K, block.positions) for block in count_blocks(self.folder, self.model, self.corpus))
        return accumulate(self.chosen, blocks, self.parts)

    def blocks(self) -> Iterator[tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """code[utterance], K[utterance, layer, neuron], T[utterance] of the chosen ones, summed over the parts.

        Of experts T[utterance, layer, expert].
        """
        start = 0
        for block in count_blocks(self.folder, self.model, self.corpus):
            code = self.chosen.code[start : start + len(block.K)]
            chosen = np.ix_(np.flatnonzero(code >= 0), np.array(self.parts))
            start += len(block.K)
            K, T = (counts[chosen].sum(axis=1, dtype=np.int64) for counts in (block.K, block.positions))
            yield code[code >= 0], K, T


def pool(
    folder: StoreFolder,
    model: str,
    corpus: str,
    *,
    size: Size = "auto",
    cap: int | None = None,
    parts: Sequence[str] = PARTS,
    all_items: bool = False,
) -> Pool:
    """The identification pool of a model on a corpus.

    Args:
        size: utterances per emotion; "auto": as many as the poorest emotion has.
        cap: at most so many of each emotion; default: the corpus's own.
        parts: positions whose counts are summed.
        all_items: also those that the unintervened model answered wrongly (the paper takes the right ones only).

    Raises:
        UserError: an unknown part, no counts, or an emotion without any utterance.
    """
    for part in parts:
        if part not in PARTS:
            raise UserError(
                f"unknown part {part!r}.{did_you_mean(part, PARTS)}", expected=f"some of {', '.join(PARTS)}"
            )
    facts = read_corpus(folder, corpus)
    counts = open_counts(folder, model, corpus)
    emotions = [str(emotion) for emotion in facts["emotions"]]
    labels = counts["label"].values
    said = np.array(emotions)[counts["answer"].values]  # code −1 reads as some emotion; the outcome says it is none
    right = (counts["outcome"].values == Outcome.ANSWERED) & (said == labels)
    kept = np.full(len(labels), True) if all_items else right
    own_cap = (facts.get("identification") or {}).get("cap")
    chosen = identify(labels, kept, emotions, size=size, cap=own_cap if cap is None else cap)
    return Pool(folder, model, corpus, chosen, tuple(PARTS.index(part) for part in dict.fromkeys(parts)))

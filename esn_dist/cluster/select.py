"""The select step: stored counts of correctly answered utterances → one mask, written back; the driver's own unit.

Knows nothing of Ray; NumPy and the store only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from esn_dist.selection.firing import Firing, accumulate, identify
from esn_dist.selection.masks import budget, random_mask, top
from esn_dist.selection.selectors import SELECTORS, Scores
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks, open_counts, read_masks, read_model
from esn_dist.store.schema import PARTS
from esn_dist.store.write import write_masks
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.words import Selector
from esn_dist.task.answers import Outcome


class Selection:
    """Masks of one model, computed on demand; what several masks share (counts, scores) is computed once.

    Args:
        emotions, caps: by identification corpus.
        seed: the sweep's, for the RND masks.
    """

    def __init__(
        self, folder: StoreFolder, model: str, emotions: dict[str, tuple[str, ...]], caps: dict[str, int], seed: int
    ) -> None:
        self.folder, self.model, self.emotions, self.caps, self.seed = folder, model, emotions, caps, seed
        facts = read_model(folder, model) or {}
        self.shape: tuple[int, int] = (facts["layers"], facts["width"])
        self.rows = read_masks(folder, model).named()
        self._scores = lru_cache(maxsize=4)(self._score)
        self._firing = lru_cache(maxsize=1)(self._fire)

    def write(self, mask: MaskKey) -> list[str]:
        """Compute and write `mask`; returns the files written.

        Raises:
            NothingIdentified: an emotion has no correctly answered utterance, so the mask cannot exist.
        """
        layers, width = self.shape
        members = budget(mask.fraction, layers * width)
        if mask.selector is Selector.RND:
            member_LN, used = random_mask(layers, width, members, self.seed, self.model, mask.seed), 0
        else:
            scores_ELN, used = self._scores(mask.selector, mask.corpus, mask.size, mask.parts)
            emotion = self.emotions[mask.corpus].index(mask.emotion)
            member_LN = top(scores_ELN[[emotion]], members)[0]
        row = self.rows[mask.id]
        return write_masks(
            self.folder, self.model, slice(row, row + 1), member=member_LN[None], identified=np.array([used])
        )

    def _score(self, selector: Selector, corpus: str, size: int | str, parts: tuple[str, ...]) -> tuple[Scores, int]:
        firing, used = self._firing(corpus, size, parts)
        return SELECTORS[selector](firing), used

    def _fire(self, corpus: str, size: int | str, parts: tuple[str, ...]) -> tuple[Firing, int]:
        _, labels, correct = correctly_answered(self.folder, self.model, corpus)
        emotions = self.emotions[corpus]
        chosen = identify(labels, correct, emotions, size=size, cap=self.caps[corpus])  # type: ignore[arg-type]
        blocks = ((block.K, block.T) for block in count_blocks(self.folder, self.model, corpus))
        return accumulate(chosen, blocks, [PARTS.index(part) for part in parts]), chosen.size


def correctly_answered(
    folder: StoreFolder, model: str, corpus: str
) -> tuple[Sequence[str], npt.NDArray[np.str_], npt.NDArray[np.bool_]]:
    """Id, label and whether the unintervened answer was the label, of every candidate with counts, in row order."""
    counts = open_counts(folder, model, corpus)
    said = counts.emotion.values[counts.answer.values]  # code −1 reads as some emotion; the outcome says it is none
    answered = counts.outcome.values == Outcome.ANSWERED
    return list(counts.utterance.values), counts.label.values, answered & (said == counts.label.values)

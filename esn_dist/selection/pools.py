"""Which of the stored utterances that a model answered correctly identify: the one place that decides it.

Over several corpora each gives the same number of utterances of each emotion, so that none outweighs the others. Reads
a store's counts; knows no selectors and no masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from esn_dist.selection.firing import Identification, identify
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import open_counts
from esn_dist.store.shards import answered_correctly
from esn_dist.sweep.keys import IdentificationSize


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every utterance of one corpus with counts, in the store's row order.

    Attributes:
        id, label: of each utterance.
        right: right[utterance], whether the unintervened model answered with the label.
    """

    id: tuple[str, ...]
    label: npt.NDArray[np.str_]
    right: npt.NDArray[np.bool_]


def correctly_answered(folder: StoreFolder, model: str, corpus: str) -> Candidates:
    """The candidates of a model on a corpus. Raises `UserError` where nothing was counted."""
    counts = open_counts(folder, model, corpus)
    labels = counts.label.values
    right = answered_correctly(counts.outcome.values, counts.answer.values, labels, counts.emotion.values)
    return Candidates(tuple(map(str, counts.utterance.values)), labels, right)


def shared_emotions(of_corpora: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What all corpora have, in the first one's order."""
    first, *others = of_corpora
    return tuple(emotion for emotion in first if all(emotion in other for other in others))


def identify_together(
    candidates: Sequence[Candidates], emotions: Sequence[str], size: IdentificationSize, caps: Sequence[int | None]
) -> list[Identification]:
    """Who identifies, in each of several corpora: as many of each emotion as the poorest corpus can give.

    Args:
        candidates: one per corpus; whether an utterance counts, its `right` says.
        emotions: `shared_emotions` of the corpora.
        size: utterances of each emotion from each corpus; "auto": as many as there are.
        caps: at most so many from each corpus.

    Raises:
        NothingIdentified: an emotion has no utterance in one of the corpora.
    """
    own = [identify(c.label, c.right, emotions, size=size, cap=cap) for c, cap in zip(candidates, caps, strict=True)]
    common = min(identification.size for identification in own)
    together = [identify(c.label, c.right, emotions, size=common) for c in candidates]
    # What was asked for stays what the caller asked for, so that a set that shrank says so.
    return [replace(one, asked=own[0].asked) for one in together]

"""The rounds of one corpus's identification: each is fixed by the results of finished rounds, never by the workers.

Knows no schedule: it reads from the store which candidates were answered correctly.
"""

from __future__ import annotations

import numpy as np

from esn_dist.selection.identification_sets import counted_utterances
from esn_dist.store.folder import StoreFolder
from esn_dist.sweep.units import EmotionPool, IdentifyUnit, identify_units, next_identification_round
from esn_dist.terms import SHARD_ROWS
from esn_dist.worker.job import CorpusItems


class IdentificationRounds:
    """Identification of one model on one corpus.

    Args:
        cap: number of correctly answered utterances per emotion at which it stops.
    """

    def __init__(self, folder: StoreFolder, model: str, corpus: CorpusItems, cap: int) -> None:
        self.folder, self.model, self.corpus, self.cap = folder, model, corpus, cap
        self.candidates: dict[str, list[int]] = {emotion: [] for emotion in corpus.emotions}
        for row, clip in enumerate(corpus.identification):
            if clip:
                self.candidates[clip.utterance.emotion].append(row)
        self.visited = dict.fromkeys(corpus.emotions, 0)

    def next_round(self) -> list[IdentifyUnit]:
        """The units of the next round; empty when identification is over. All earlier units must be done."""
        ranges = next_identification_round(self._pools(), self.cap)
        rows = [row for emotion, part in ranges.items() for row in self.candidates[emotion][part.start : part.stop]]
        self.visited |= {emotion: part.stop for emotion, part in ranges.items()}
        return identify_units(self.model, self.corpus.name, sorted({row // SHARD_ROWS for row in rows}))

    def _pools(self) -> dict[str, EmotionPool]:
        correct_labels: list[str] = []
        if any(self.visited.values()):
            candidates = counted_utterances(self.folder, self.model, self.corpus.name)
            # A killed run may have left rows of a round that is not finished: they do not count yet.
            visited_ids = self._visited_ids()
            visited = np.array([id in visited_ids for id in candidates.id], np.bool_)
            correct_labels = candidates.label[candidates.correct & visited].tolist()
        return {
            emotion: EmotionPool(len(rows), self.visited[emotion], correct_labels.count(emotion))
            for emotion, rows in self.candidates.items()
        }

    def _visited_ids(self) -> set[str]:
        items = self.corpus.identification
        rows = (row for emotion, rows in self.candidates.items() for row in rows[: self.visited[emotion]])
        return {clip.utterance.id for row in rows if (clip := items[row])}

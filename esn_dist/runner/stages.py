"""One model's units and what each needs: encode → identify in rounds → select → answer.

Turns a plan and the store's rows into a `Schedule`, and adds the next round when the last one is done. Knows nothing of
Ray: it is told which units are done, and reads from the store which candidates were answered correctly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from esn_dist.runner.schedule import Schedule
from esn_dist.selection.pools import correctly_answered
from esn_dist.store.folder import StoreFolder, answers_group
from esn_dist.store.read import read_cell_masks
from esn_dist.store.tables import CellMaskTable
from esn_dist.sweep.interventions import INTERVENTIONS
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.units import (
    AnswerUnit,
    EmotionPool,
    EncodeUnit,
    IdentifyUnit,
    SelectUnit,
    cells_per_block,
    evaluation_blocks,
    identify_units,
    next_round,
)
from esn_dist.terms import SHARD_ROWS
from esn_dist.worker.job import CorpusItems


class Identification:
    """One corpus's identification: rounds fixed by what finished rounds found, never by who worked on them.

    Args:
        cap: correctly answered utterances per emotion at which it stops.
    """

    def __init__(self, folder: StoreFolder, model: str, corpus: CorpusItems, cap: int) -> None:
        self.folder, self.model, self.corpus, self.cap = folder, model, corpus, cap
        self.candidates: dict[str, list[int]] = {emotion: [] for emotion in corpus.emotions}
        for row, clip in enumerate(corpus.identification):
            if clip:
                self.candidates[clip.utterance.emotion].append(row)
        self.visited = dict.fromkeys(corpus.emotions, 0)

    def next_round(self) -> list[IdentifyUnit]:
        """The units of the round after all that were given out, each of which must be done; empty when it is over."""
        ranges = next_round(self._pools(), self.cap)
        rows = [row for emotion, at in ranges.items() for row in self.candidates[emotion][at.start : at.stop]]
        self.visited |= {emotion: at.stop for emotion, at in ranges.items()}
        return identify_units(self.model, self.corpus.name, sorted({row // SHARD_ROWS for row in rows}))

    def _pools(self) -> dict[str, EmotionPool]:
        right: list[str] = []
        if any(self.visited.values()):
            found = correctly_answered(self.folder, self.model, self.corpus.name)
            # A killed run may have left rows of a round that is not finished: they do not count yet.
            visited = self._visited_ids()
            asked = np.array([id in visited for id in found.id], np.bool_)
            right = found.label[found.right & asked].tolist()
        return {
            emotion: EmotionPool(len(rows), self.visited[emotion], right.count(emotion))
            for emotion, rows in self.candidates.items()
        }

    def _visited_ids(self) -> set[str]:
        items = self.corpus.identification
        rows = (row for emotion, rows in self.candidates.items() for row in rows[: self.visited[emotion]])
        return {clip.utterance.id for row in rows if (clip := items[row])}


class Stages:
    """The units of one model, added to `schedule` as they become known.

    Args:
        masks: every mask in the store's table, by id.
        wanted: ids of the plan's cells; a block of the store with none of them is not run.
        selected: the plan's masks, those included that no cell needs.
        caps: correctly answered utterances per emotion, by corpus.
    """

    def __init__(
        self,
        model: str,
        corpora: dict[str, CorpusItems],
        masks: dict[str, MaskKey],
        wanted: Iterable[str],
        selected: Iterable[MaskKey],
        caps: dict[str, int],
        folder: StoreFolder,
        schedule: Schedule,
    ) -> None:
        self.model, self.corpora, self.masks, self.folder, self.schedule = model, corpora, masks, folder, schedule
        wanted = frozenset(wanted)
        self._identification: dict[str, Identification] = {}
        self._round: dict[str, set[str]] = {}
        self._identified: set[str] = set()
        in_blocks = [masks[id] for corpus in corpora.values() for id in self._add_answers(corpus, wanted)]
        self._waiting = list(dict.fromkeys((*in_blocks, *selected)))
        self._select()
        for source in dict.fromkeys(source for mask in self._waiting for source in mask.sources):
            if source in corpora:
                self._identification[source] = Identification(folder, model, corpora[source], caps[source])
                self._advance(source)

    def finished(self, id: str) -> None:
        """Unit `id` is done; where it ended a round, the next one (or the selection) is added."""
        for corpus, units in self._round.items():
            if id in units:
                units.discard(id)
                if not units:
                    self._advance(corpus)
                return

    def _advance(self, corpus: str) -> None:
        """Add rounds until one has something left to do; after the last round, the selection."""
        left: set[str] = set()
        while not left:
            units = self._identification[corpus].next_round()
            if not units:
                self._identified.add(corpus)
                self._select()
                break
            for unit in units:
                encode = [EncodeUnit(self.model, corpus, "identification", shard) for shard in unit.shards]
                self._add_all(encode)
                self.schedule.add(unit, [e.id for e in encode])
            left = {unit.id for unit in units} - self.schedule.done
        self._round[corpus] = left

    def _select(self) -> None:
        """Add the selection of every waiting mask whose corpora are identified; RND has none to wait for.

        A mask of an older plan, whose corpus left the sweep, would wait for ever: its selection says so at once.
        Masks that rest on the same counts follow each other, so that the counts are read once.
        """
        waiting: list[MaskKey] = []
        free: list[MaskKey] = []
        for mask in self._waiting:
            known = self._identified.issuperset(mask.sources) or not self.corpora.keys() >= set(mask.sources)
            (free if known else waiting).append(mask)
        free.sort(key=lambda mask: (mask.corpus, mask.parts, str(mask.size)))
        self._add_all(SelectUnit(self.model, mask.id) for mask in free)
        self._waiting = waiting

    def _add_answers(self, corpus: CorpusItems, wanted: frozenset[str]) -> list[str]:
        """Blocks of the cell axis that hold a wanted cell; a block's other cells, of older plans, come along.

        Returns:
            The masks that these blocks need, each once.
        """
        if not (self.folder.data / answers_group(self.model, corpus.name)).is_dir():
            return []  # nobody evaluates on it: it only lends its masks
        block = cells_per_block(len(corpus.evaluation))
        table = read_cell_masks(self.folder, self.model, corpus.name)
        separate = {name for name in set(table.intervention) if name and INTERVENTIONS.require(name).separate_masks}
        starts = [n for n in range(0, len(table), block) if not wanted.isdisjoint(table.id[n : n + block])]
        encoded = self._add_encoding(corpus) if starts else ""
        needed: dict[str, str] = {}  # mask → unit that selects it
        for start in starts:
            stop = min(start + block, len(table))
            masks = [id for row in range(start, stop) for id in self._masks_of(table, row, separate)]
            needed |= {id: SelectUnit(self.model, id).id for id in masks if id not in needed}
            cells = tuple(id for id in table.id[start:stop] if id)
            unit = AnswerUnit(self.model, corpus.name, start, stop, cells)
            self.schedule.add(unit, [encoded, *(needed[id] for id in masks)])
        return list(needed)

    def _add_encoding(self, corpus: CorpusItems) -> str:
        """Add the encode units of an evaluation set; returns the name that stands for all of them."""
        blocks = evaluation_blocks(len(corpus.evaluation))
        units = [EncodeUnit(self.model, corpus.name, "evaluation", n) for n in blocks]
        self._add_all(units)
        name = f"all of {self.model} {corpus.name} evaluation"
        self.schedule.join(name, [unit.id for unit in units])
        return name

    def _masks_of(self, table: CellMaskTable, row: int, separate: Collection[str]) -> tuple[str, ...]:
        """Ids of the masks of a stored cell: its own, and those of single emotions for the types `separate`."""
        mask = table.mask[row]
        if not mask:
            return ()
        return (mask, *(key.id for key in self.masks[mask].single)) if table.intervention[row] in separate else (mask,)

    def _add_all(self, units: Iterable[EncodeUnit | SelectUnit]) -> None:
        for unit in units:
            self.schedule.add(unit)

"""One model's units and what each needs: encode → identify in rounds → select → answer.

Turns a plan and the store's rows into a `Schedule`, and adds the next round when the last one is done. Knows nothing of
Ray: it is told which units are done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from esn_dist.runner.identification_rounds import IdentificationRounds
from esn_dist.runner.schedule import Schedule
from esn_dist.store.folder import StoreFolder, answers_group
from esn_dist.store.read import read_cell_masks
from esn_dist.store.tables import CellMaskTable
from esn_dist.store.zarr_nodes import has_node
from esn_dist.sweep.interventions import INTERVENTIONS
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.units import AnswerUnit, EncodeUnit, SelectUnit, cells_per_block, evaluation_blocks
from esn_dist.worker.job import CorpusItems


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model's share of a plan.

    Attributes:
        corpora: by name.
        masks: every mask in the store's table, by id.
        wanted_cells: ids of the plan's cells. A block of the store with none of them is not run.
        selected_masks: the plan's masks, including those that no cell needs.
        caps: number of correctly answered utterances per emotion, by corpus.
    """

    model: str
    corpora: dict[str, CorpusItems]
    masks: dict[str, MaskKey]
    wanted_cells: frozenset[str]
    selected_masks: tuple[MaskKey, ...]
    caps: dict[str, int]


class Stages:
    """The units of one model, added to `schedule` as they become known."""

    def __init__(self, plan: ModelPlan, folder: StoreFolder, schedule: Schedule) -> None:
        self.plan, self.folder, self.schedule = plan, folder, schedule
        self._rounds: dict[str, IdentificationRounds] = {}
        self._units_of_round: dict[str, set[str]] = {}  # not done, by corpus
        self._identified: set[str] = set()
        in_blocks = [plan.masks[id] for corpus in plan.corpora.values() for id in self._add_answers(corpus)]
        self._waiting = list(dict.fromkeys((*in_blocks, *plan.selected_masks)))
        self._add_selections()
        for source in dict.fromkeys(source for mask in self._waiting for source in mask.sources):
            if source in plan.corpora:
                self._rounds[source] = IdentificationRounds(folder, plan.model, plan.corpora[source], plan.caps[source])
                self._add_round(source)

    def unit_finished(self, id: str) -> None:
        """Unit `id` is done. If it was the last of a round, the next round or the selection is added."""
        for corpus, units in self._units_of_round.items():
            if id in units:
                units.discard(id)
                if not units:
                    self._add_round(corpus)
                return

    def _add_round(self, corpus: str) -> None:
        """Add rounds until one has a unit that is not done; after the last round, the selections."""
        not_done: set[str] = set()
        while not not_done:
            units = self._rounds[corpus].next_round()
            if not units:
                self._identified.add(corpus)
                self._add_selections()
                break
            for unit in units:
                encode = [EncodeUnit(self.plan.model, corpus, "identification", shard) for shard in unit.shards]
                self._add_all(encode)
                self.schedule.add(unit, [e.id for e in encode])
            not_done = {unit.id for unit in units} - self.schedule.done
        self._units_of_round[corpus] = not_done

    def _add_selections(self) -> None:
        """Add the selection of each waiting mask whose corpora are identified, and of RND masks, which need none.

        The selection of a mask whose corpus left the sweep is added at once, and fails with that reason. Masks that
        use the same counts are adjacent, so that the counts are read once.
        """
        waiting: list[MaskKey] = []
        selectable: list[MaskKey] = []
        for mask in self._waiting:
            sources = set(mask.sources)
            known = self._identified >= sources or not self.plan.corpora.keys() >= sources
            (selectable if known else waiting).append(mask)
        selectable.sort(key=lambda mask: (mask.corpus, mask.parts, str(mask.size)))
        self._add_all(SelectUnit(self.plan.model, mask.id) for mask in selectable)
        self._waiting = waiting

    def _add_answers(self, corpus: CorpusItems) -> list[str]:
        """Add the blocks of the cell axis that hold a wanted cell, with all cells of the block.

        Returns:
            The masks that these blocks need, each once.
        """
        model = self.plan.model
        if not has_node(self.folder, answers_group(model, corpus.name)):
            return []  # a corpus without cells: masks are identified on it only
        block = cells_per_block(len(corpus.evaluation))
        table = read_cell_masks(self.folder, model, corpus.name)
        separate = {name for name in set(table.intervention) if name and INTERVENTIONS.require(name).separate_masks}
        wanted = self.plan.wanted_cells
        starts = [n for n in range(0, len(table), block) if not wanted.isdisjoint(table.id[n : n + block])]
        encoded = self._add_encoding(corpus) if starts else ""
        needed: dict[str, str] = {}  # mask → unit that selects it
        for start in starts:
            stop = min(start + block, len(table))
            masks = [id for row in range(start, stop) for id in self._masks_of(table, row, separate)]
            needed |= {id: SelectUnit(model, id).id for id in masks if id not in needed}
            cells = tuple(id for id in table.id[start:stop] if id)
            unit = AnswerUnit(model, corpus.name, start, stop, cells)
            self.schedule.add(unit, [encoded, *(needed[id] for id in masks)])
        return list(needed)

    def _add_encoding(self, corpus: CorpusItems) -> str:
        """Add the encode units of an evaluation set; returns the name of a barrier after all of them."""
        model = self.plan.model
        units = [EncodeUnit(model, corpus.name, "evaluation", n) for n in evaluation_blocks(len(corpus.evaluation))]
        self._add_all(units)
        name = f"all of {model} {corpus.name} evaluation"
        self.schedule.barrier(name, [unit.id for unit in units])
        return name

    def _masks_of(self, table: CellMaskTable, row: int, separate: Collection[str]) -> tuple[str, ...]:
        """Ids of the masks of a stored cell: its own, and those of single emotions for the types `separate`."""
        mask = table.mask[row]
        if not mask:
            return ()
        single = self.plan.masks[mask].emotion_masks if table.intervention[row] in separate else ()
        return (mask, *(key.id for key in single))

    def _add_all(self, units: Iterable[EncodeUnit | SelectUnit]) -> None:
        for unit in units:
            self.schedule.add(unit)

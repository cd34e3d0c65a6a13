"""What a sweep would cost before anything runs: cells, answers, hours, units and bytes, from the spec alone.

Set sizes are what the spec asks for and the corpus has: by its index where the caller looked at it, else by published
counts, else unknown; each says which. Hours come from measured rates that are shipped with their dates (`rates.yaml`),
or are unknown. Looks itself at no corpus and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod

from esn_dist.store.schema import PARTS
from esn_dist.store.tables import SHARD_ROWS
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.rates import known_rates
from esn_dist.sweep.search import rounds
from esn_dist.sweep.sizes import Found, candidates
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import StudySpec
from esn_dist.sweep.units import SHARDS_PER_UNIT, cells_per_block, evaluation_blocks
from esn_dist.sweep.words import known_models

LOGPROB, TEXT, CODES = 4, 160, 3  # bytes of one answer: per emotion, its text, answer + outcome + flag


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """One study, by itself, and what it adds to the studies above it.

    Attributes:
        cells, masks, answers: of the study by itself.
        shared: cells that a study above it has too, which run once; `shared_with`: those studies.
        hours: of answering its other cells, by device for which all its models have a measured rate; empty: unknown.
        bytes: of its other cells' answers, uncompressed, and of its other masks; None where a model's shape is unknown.
        later: cells that the rounds of a search add at most; in no other number.
    """

    name: str
    cells: int
    masks: int
    answers: int
    shared: int
    shared_with: tuple[str, ...]
    hours: dict[str, float]
    bytes: int | None
    later: int = 0


@dataclass(frozen=True, slots=True)
class CorpusForecast:
    """One corpus. `candidates`: of the identification pool at most; `source`: where that number comes from."""

    name: str
    evaluation: int
    candidates: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """A sweep's cost.

    Attributes:
        answers: of all cells, each once. identification_answers: candidates asked at most.
        hours: of answering all cells on one device, by device for which all models have a measured rate.
        unmeasured: models that have a rate on no device.
        units: by step, at most.
        bytes: of the store at most, uncompressed; None where a pool's size or a model's shape is unknown.
    """

    sweep: str
    studies: tuple[StudyForecast, ...]
    corpora: tuple[CorpusForecast, ...]
    cells: int
    masks: int
    answers: int
    identification_answers: int | None
    hours: dict[str, float]
    unmeasured: tuple[str, ...]
    units: dict[str, int]
    bytes: int | None


def forecast(
    sweep: Sweep, found: Mapping[str, Found] | None = None, shapes: Mapping[str, tuple[int, int]] | None = None
) -> Forecast:
    """The cost of everything that `sweep` asks for.

    Args:
        found: what a look at the corpora gave, by name.
        shapes: layers and width of models that are not registered, by name, where their checkpoint is at hand.
    """
    planned = plan(sweep)
    corpora = {spec.name: _corpus(spec, (found or {}).get(spec.name)) for spec in sweep.corpora}
    sources = {(mask.model, corpus) for mask in planned.masks for corpus in mask.sources}
    pools = [corpora[corpus].candidates for _, corpus in sources]
    pool = None if None in pools else sum(size for size in pools if size is not None)
    costs = _Costs(sweep, corpora, dict(shapes or {}))
    rates = known_rates()
    return Forecast(
        sweep.name,
        _studies(planned, costs),
        tuple(corpora.values()),
        len(planned.cells),
        len(planned.masks),
        costs.answers(planned.cells),
        pool,
        costs.hours(planned.cells),
        tuple(m.name for m in sweep.models if not any(rate.model == m.model for rate in rates)),
        _units(planned, corpora, sources),
        _sum(None if pool is None else costs.counts(sources), costs.bytes(planned.cells, planned.masks)),
    )


@dataclass(frozen=True, slots=True)
class _Costs:
    """What cells and masks cost, given the sizes of the sets."""

    sweep: Sweep
    corpora: dict[str, CorpusForecast]
    shapes: dict[str, tuple[int, int]]

    def answers(self, cells: Iterable[Cell]) -> int:
        return sum(self.corpora[cell.corpus].evaluation for cell in cells)

    def hours(self, cells: Sequence[Cell]) -> dict[str, float]:
        """Of one device; nothing for a device on which one of the models was never measured."""
        registered = {m.name: m.model for m in self.sweep.models}
        wanted = {name: self.answers(c for c in cells if c.model == name) for name in {c.model for c in cells}}
        total = {}
        for device in sorted({rate.device for rate in known_rates()}):
            speed = {rate.model: rate.answers_per_second for rate in known_rates() if rate.device == device}
            if all(registered[name] in speed for name in wanted):
                total[device] = sum(n / speed[registered[name]] for name, n in wanted.items()) / 3600
        return total

    def bytes(self, cells: Iterable[Cell], masks: Iterable[MaskKey]) -> int | None:
        emotions = max(len(spec.emotions) for spec in self.sweep.corpora)
        neurons = self._neurons()
        answers = self.answers(cells) * (CODES + LOGPROB * emotions + TEXT)
        return _sum(answers, *(neurons[m.model] for m in masks))

    def counts(self, sources: Iterable[tuple[str, str]]) -> int | None:
        neurons = self._neurons()
        pools = [(neurons[model], self.corpora[corpus].candidates or 0) for model, corpus in sources]
        return _sum(*(None if n is None else n * len(PARTS) * 2 * pool for n, pool in pools))

    def _neurons(self) -> dict[str, int | None]:
        """Gates of each model; None where neither the registry nor a checkpoint at hand tells."""
        known = {m.name: known_models().get(m.model, {}) for m in self.sweep.models}
        shapes = {name: (facts["layers"], facts["width"]) for name, facts in known.items() if facts} | self.shapes
        return {m.name: prod(shapes[m.name]) if m.name in shapes else None for m in self.sweep.models}


def _sum(*numbers: int | None) -> int | None:
    """None where any of them is unknown."""
    return None if None in numbers else sum(n for n in numbers if n is not None)


def _studies(planned: Plan, costs: _Costs) -> tuple[StudyForecast, ...]:
    owner: dict[Cell | MaskKey, str] = {}
    found = []
    for name, cells in planned.studies.items():
        masks = planned.selected[name]
        new_cells, new_masks = [c for c in cells if c not in owner], [m for m in masks if m not in owner]
        above = tuple(dict.fromkeys(owner[c] for c in cells if c in owner))
        found.append(
            StudyForecast(
                name,
                len(cells),
                len(masks),
                costs.answers(cells),
                len(cells) - len(new_cells),
                above,
                costs.hours(new_cells),
                costs.bytes(new_cells, new_masks),
                _later(costs.sweep.studies[name], cells),
            )
        )
        owner |= dict.fromkeys((*new_cells, *new_masks), name)
    return tuple(found)


def _corpus(spec: CorpusSpec, found: Found | None) -> CorpusForecast:
    pool, source = candidates(spec, found)
    return CorpusForecast(spec.name, spec.evaluation.per_emotion * len(spec.emotions), pool, source)


def _later(study: StudySpec, cells: Sequence[Cell]) -> int:
    first = sum(cell.mask is not None for cell in cells)
    return 0 if study.reach is None else first * (rounds(len(set(study.fractions))) - 1)


def _units(planned: Plan, corpora: dict[str, CorpusForecast], sources: set[tuple[str, str]]) -> dict[str, int]:
    groups = Counter((c.model, c.corpus) for c in planned.cells)
    sizes = {group: corpora[group[1]].evaluation for group in groups}
    shards = sum(ceil((corpora[corpus].candidates or 0) / SHARD_ROWS) for _, corpus in sources)
    return {
        "encode": shards + sum(len(evaluation_blocks(size)) for size in sizes.values()),
        "identify": ceil(shards / SHARDS_PER_UNIT),
        "select": len(planned.masks),
        "answer": sum(ceil(cells / cells_per_block(sizes[group])) for group, cells in groups.items()),
    }

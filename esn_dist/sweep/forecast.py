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

from esn_dist.sweep.candidate_counts import LabelCounts, candidates_by_emotion
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.cost import TotalHours, Work, WorkHours, hours_by_device, total_hours
from esn_dist.sweep.fraction_search import max_rounds
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.rates import Rate, rates_of
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import StudySpec
from esn_dist.sweep.units import SHARDS_PER_UNIT, cells_per_block, evaluation_blocks
from esn_dist.terms import PARTS, SHARD_ROWS

LOGPROB, TEXT, CODES = 4, 160, 3  # bytes of one answer: per emotion, its text, answer + outcome + flag
COUNT, SUM = 2, 4  # bytes of a gate's count, of every utterance and part, and of every shard and part
Ground = tuple[str, str]  # a model, and a corpus that it answers or is identified on


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """One study, by itself, and what it adds to the studies above it.

    Attributes:
        cells, masks, answers: of the study by itself.
        shared: cells that a study above it has too, which run once; `shared_with`: those studies.
        hours: of answering its other cells, of nothing else, by device; no entry for a device: unknown there.
        bytes: of its other cells' answers, uncompressed, and of its other masks; None where a model's shape is unknown.
        later: cells that the rounds of a search add at most; in no other number.
    """

    name: str
    cells: int
    masks: int
    answers: int
    shared: int
    shared_with: tuple[str, ...]
    hours: dict[str, TotalHours]
    bytes: int | None
    later: int = 0


@dataclass(frozen=True, slots=True)
class CorpusForecast:
    """One corpus.

    Attributes:
        candidates: of the identification pool at most; None: nobody knows. source: where that number comes from.
        shards: of counts that they fill at most, every emotion its own.
    """

    name: str
    evaluation: int
    candidates: int | None
    source: str
    shards: int | None


@dataclass(frozen=True, slots=True)
class ModelForecast:
    """One model's work in the whole sweep.

    Attributes:
        hours: by device on which a model of the sweep was measured, then by part; None: unknown.
        measured: the date of each of its own rates, by device.
    """

    name: str
    work: Work
    hours: dict[str, WorkHours]
    measured: dict[str, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A sweep's cost.

    Attributes:
        answers: of all cells, each once. identification_answers: candidates asked at most.
        hours: of all models and parts on one device of that name, identification and encoding at most; each says what
            it leaves out. Empty: unknown.
        units: by step, at most, but that rounds of identification may split some; None: unknown.
        bytes: of the store at most, uncompressed; None where a pool's size or a model's shape is unknown.
    """

    sweep: str
    studies: tuple[StudyForecast, ...]
    corpora: tuple[CorpusForecast, ...]
    models: tuple[ModelForecast, ...]
    cells: int
    masks: int
    answers: int
    identification_answers: int | None
    hours: dict[str, TotalHours]
    units: dict[str, int | None]
    bytes: int | None


def forecast(
    sweep: Sweep,
    label_counts: Mapping[str, LabelCounts] | None = None,
    shapes: Mapping[str, tuple[int, int]] | None = None,
) -> Forecast:
    """The cost of everything that `sweep` asks for.

    Args:
        label_counts: labels counted in the corpora, by corpus name.
        shapes: layers and width of models that are not registered, by name, where their checkpoint is at hand.
    """
    planned = plan(sweep)
    corpora = {spec.name: _corpus(spec, (label_counts or {}).get(spec.name)) for spec in sweep.corpora}
    sources = {(mask.model, corpus) for mask in planned.masks for corpus in mask.sources}
    costs = _Costs(sweep, corpora, dict(shapes or {}))
    pool = costs.candidates(sources)
    hours = hours_by_device(work := costs.work(planned.cells, sources), costs.rates())
    return Forecast(
        sweep.name,
        _studies(planned, costs),
        tuple(corpora.values()),
        _models(work, hours, costs.rates()),
        len(planned.cells),
        len(planned.masks),
        costs.answers(planned.cells),
        pool,
        total_hours(hours),
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

    def candidates(self, sources: Iterable[Ground]) -> int | None:
        return _sum(*(self.corpora[corpus].candidates for _, corpus in sources))

    def rates(self) -> dict[str, tuple[Rate, ...]]:
        return {spec.name: rates_of(spec) for spec in self.sweep.models}

    def work(self, cells: Sequence[Cell], sources: Iterable[Ground] = ()) -> dict[str, Work]:
        """By model: what these cells and the identification on `sources` take, clips encoded once each."""
        evaluated, sources = {(c.model, c.corpus) for c in cells}, tuple(sources)
        found = {}
        for name in (spec.name for spec in self.sweep.models):
            clips = sum(self.corpora[corpus].evaluation for model, corpus in evaluated if model == name)
            asked = self.candidates(at for at in sources if at[0] == name)
            found[name] = Work(self.answers(c for c in cells if c.model == name), asked, _sum(clips, asked))
        return found

    def hours(self, cells: Sequence[Cell]) -> dict[str, TotalHours]:
        """Of answering alone, on one device."""
        work = {name: Work(todo.answering) for name, todo in self.work(cells).items()}
        return total_hours(hours_by_device(work, self.rates()))

    def bytes(self, cells: Iterable[Cell], masks: Iterable[MaskKey]) -> int | None:
        emotions = max(len(spec.emotions) for spec in self.sweep.corpora)
        neurons = self._neurons()
        answers = self.answers(cells) * (CODES + LOGPROB * emotions + TEXT)
        return _sum(answers, *(neurons[m.model] for m in masks))

    def counts(self, sources: Iterable[Ground]) -> int | None:
        neurons = self._neurons()
        pools = [(neurons[model], self.corpora[corpus]) for model, corpus in sources]
        widths = [(n, COUNT * (of.candidates or 0) + SUM * (of.shards or 0)) for n, of in pools]
        return _sum(*(None if n is None else n * len(PARTS) * width for n, width in widths))

    def _neurons(self) -> dict[str, int | None]:
        """Gates of each model; None where neither the registry nor a checkpoint at hand tells."""
        entries = {m.name: MODELS[m.model] for m in self.sweep.models if m.model in MODELS}
        shapes = {name: (entry.layers, entry.width) for name, entry in entries.items()} | self.shapes
        return {m.name: prod(shapes[m.name]) if m.name in shapes else None for m in self.sweep.models}


def _sum(*numbers: int | None) -> int | None:
    """None where any of them is unknown."""
    return None if None in numbers else sum(n for n in numbers if n is not None)


def _models(
    work: Mapping[str, Work], hours: Mapping[str, Mapping[str, WorkHours]], rates: Mapping[str, Sequence[Rate]]
) -> tuple[ModelForecast, ...]:
    return tuple(
        ModelForecast(
            name,
            todo,
            {device: by_model[name] for device, by_model in hours.items()},
            {rate.device: rate.date.isoformat() for rate in rates[name]},
        )
        for name, todo in work.items()
    )


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


def _corpus(spec: CorpusSpec, counted: LabelCounts | None) -> CorpusForecast:
    sizes, source = candidates_by_emotion(spec, counted)
    size, shards = (None, None) if sizes is None else (sum(sizes), sum(ceil(n / SHARD_ROWS) for n in sizes))
    return CorpusForecast(spec.name, spec.evaluation.per_emotion * len(spec.emotions), size, source, shards)


def _later(study: StudySpec, cells: Sequence[Cell]) -> int:
    first = sum(cell.mask is not None for cell in cells)
    return 0 if study.reach is None else first * (max_rounds(len(set(study.fractions))) - 1)


def _units(planned: Plan, corpora: dict[str, CorpusForecast], sources: set[Ground]) -> dict[str, int | None]:
    groups = Counter((c.model, c.corpus) for c in planned.cells)
    sizes = {group: corpora[group[1]].evaluation for group in groups}
    shards = [corpora[corpus].shards for _, corpus in sources]
    return {
        "encode": _sum(*shards, *(len(evaluation_blocks(size)) for size in sizes.values())),
        "identify": _sum(*(None if n is None else ceil(n / SHARDS_PER_UNIT) for n in shards)),
        "select": len(planned.masks),
        "answer": sum(ceil(cells / cells_per_block(sizes[group])) for group, cells in groups.items()),
    }

"""What a sweep would cost before anything runs: cells, answers, hours, units and bytes, from the spec alone.

Sizes of sets are those that the spec requests and the corpus has; each comes with its source. Hours come from measured
rates that are shipped with their dates (`rates.yaml`), or are unknown. Reads no corpus and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from esn_dist.sweep.candidate_counts import LabelCounts
from esn_dist.sweep.cost import TotalHours, Work, WorkHours, hours_by_device, total_hours
from esn_dist.sweep.fraction_search import max_rounds
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.rates import Rate, rates_of
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import StudySpec
from esn_dist.sweep.units import SHARDS_PER_UNIT, Step, cells_per_block, evaluation_blocks
from esn_dist.sweep.work_amounts import CorpusForecast, ModelCorpus, WorkAmounts, corpus_forecast, sum_of_known

Rates = Mapping[str, Sequence[Rate]]
"""Measured rates by the model's name in the sweep."""


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """One study by itself, and what it adds to the studies before it.

    Attributes:
        cells, masks, answers: of the study by itself.
        shared: cells that an earlier study has too, which run once; `shared_with`: those studies.
        hours: of answering its other cells and of nothing else, by device. A device without an entry is unknown.
        bytes: of its other cells' answers, uncompressed, and of its other masks; None where a model's shape is unknown.
        later: upper limit of the cells that later rounds of a search add; in no other number.
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
class ModelForecast:
    """One model's work in the whole sweep.

    Attributes:
        hours: by device on which a model of the sweep was measured, then by part; None: unknown.
        measured: the date of each of its rates, by device.
    """

    name: str
    work: Work
    hours: dict[str, WorkHours]
    measured: dict[str, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A sweep's cost.

    Attributes:
        answers: of all cells, each once.
        identification_answers: upper limit of the candidates that are answered.
        hours: of all models and parts on one device of that name, upper limits for identification and encoding. Each
            says what it leaves out. Empty: unknown.
        units: upper limit by step; rounds of identification may split some. None: unknown.
        bytes: upper limit of the store, uncompressed; None where the size of a set or the shape of a model is unknown.
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
    """The cost of everything in `sweep`.

    Args:
        label_counts: labels counted in the corpora, by corpus name.
        shapes: layers and width of models that are not registered, by name, where their checkpoint is at hand.
    """
    planned = plan(sweep)
    counted = label_counts or {}
    corpora = {spec.name: corpus_forecast(spec, counted.get(spec.name)) for spec in sweep.corpora}
    sources = {(mask.model, corpus) for mask in planned.masks for corpus in mask.sources}
    amounts = WorkAmounts(sweep, corpora, dict(shapes or {}))
    rates = {spec.name: rates_of(spec) for spec in sweep.models}
    work = amounts.work(planned.cells, sources)
    hours = hours_by_device(work, rates)
    candidates = amounts.candidates(sources)
    count_bytes = None if candidates is None else amounts.count_bytes(sources)
    return Forecast(
        sweep=sweep.name,
        studies=_studies(planned, amounts, rates),
        corpora=tuple(corpora.values()),
        models=_models(work, hours, rates),
        cells=len(planned.cells),
        masks=len(planned.masks),
        answers=amounts.answers(planned.cells),
        identification_answers=candidates,
        hours=total_hours(hours),
        units=_units(planned, corpora, sources),
        bytes=sum_of_known(count_bytes, amounts.answer_bytes(planned.cells, planned.masks)),
    )


def _models(
    work: Mapping[str, Work], hours: Mapping[str, Mapping[str, WorkHours]], rates: Rates
) -> tuple[ModelForecast, ...]:
    return tuple(
        ModelForecast(
            name,
            of_model,
            {device: by_model[name] for device, by_model in hours.items()},
            {rate.device: rate.date.isoformat() for rate in rates[name]},
        )
        for name, of_model in work.items()
    )


def _studies(planned: Plan, amounts: WorkAmounts, rates: Rates) -> tuple[StudyForecast, ...]:
    first_study: dict[Cell | MaskKey, str] = {}
    studies = []
    for name, cells in planned.studies.items():
        masks = planned.selected[name]
        new_cells = [cell for cell in cells if cell not in first_study]
        new_masks = [mask for mask in masks if mask not in first_study]
        studies.append(
            StudyForecast(
                name,
                cells=len(cells),
                masks=len(masks),
                answers=amounts.answers(cells),
                shared=len(cells) - len(new_cells),
                shared_with=tuple(dict.fromkeys(first_study[cell] for cell in cells if cell in first_study)),
                hours=_answering_hours(new_cells, amounts, rates),
                bytes=amounts.answer_bytes(new_cells, new_masks),
                later=_later_cells(amounts.sweep.studies[name], cells),
            )
        )
        first_study |= dict.fromkeys((*new_cells, *new_masks), name)
    return tuple(studies)


def _answering_hours(cells: Sequence[Cell], amounts: WorkAmounts, rates: Rates) -> dict[str, TotalHours]:
    """Of answering alone, on one device."""
    work = {name: Work(of_model.answering) for name, of_model in amounts.work(cells).items()}
    return total_hours(hours_by_device(work, rates))


def _later_cells(study: StudySpec, cells: Sequence[Cell]) -> int:
    first_round = sum(cell.mask is not None for cell in cells)
    return 0 if study.reach is None else first_round * (max_rounds(len(set(study.fractions))) - 1)


def _units(planned: Plan, corpora: dict[str, CorpusForecast], sources: set[ModelCorpus]) -> dict[str, int | None]:
    cells_of = Counter((cell.model, cell.corpus) for cell in planned.cells)
    sizes = {group: corpora[group[1]].evaluation for group in cells_of}
    shards = [corpora[corpus].shards for _, corpus in sources]
    return {
        str(Step.ENCODE): sum_of_known(*shards, *(len(evaluation_blocks(size)) for size in sizes.values())),
        str(Step.IDENTIFY): sum_of_known(*(None if n is None else ceil(n / SHARDS_PER_UNIT) for n in shards)),
        str(Step.SELECT): len(planned.masks),
        str(Step.ANSWER): sum(ceil(cells / cells_per_block(sizes[group])) for group, cells in cells_of.items()),
    }

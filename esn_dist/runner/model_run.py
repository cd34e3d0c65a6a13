"""One model's share of a run: prepared, run round after round until its studies add no more cells.

Knows no Ray; what executes units comes from the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from esn_dist.runner.loop import Loop, RunResult
from esn_dist.runner.mask_selection import MaskSelection
from esn_dist.runner.prepare import check_mask_files, prepare_model
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.search_rounds import next_round
from esn_dist.runner.selection_thread import SelectionThread
from esn_dist.runner.stages import ModelPlan, Stages
from esn_dist.store.done import done_units, publish
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.keys import Cell
from esn_dist.sweep.plan import plan
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.spec import ModelSpec, Sweep
from esn_dist.sweep.units import SelectUnit
from esn_dist.worker.job import CorpusItems, Job
from esn_dist.worker.protocol import Session

SearchedCells = dict[str, tuple[Cell, ...]]  # by study, the cells that its finished rounds have added


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the models of one run share. `result` is updated by each of them."""

    sweep: Sweep
    corpora: dict[str, CorpusItems]
    folder: StoreFolder
    lease: Lease
    session: Session
    progress: ProgressDisplay
    log: RunLog
    result: RunResult


@dataclass(frozen=True, slots=True)
class ModelPlacement:
    """Where a model runs, and on how many actors."""

    model: ModelSpec
    device: Literal["cpu", "cuda"]
    actors: int


def run_model(context: RunContext, placement: ModelPlacement) -> None:
    """Run the units of one model. Studies that search are run in rounds, each of which depends on the one before."""
    searched: SearchedCells = {}
    while not context.result.interrupted:
        _run_round(context, placement, searched)
        planned = plan(context.sweep, searched)
        new = next_round(context.sweep, planned, context.folder, placement.model.name)
        if not new or context.result.remaining:
            break
        searched = {name: (*searched.get(name, ()), *new.get(name, ())) for name in {*searched, *new}}


def _run_round(context: RunContext, placement: ModelPlacement, searched: SearchedCells) -> None:
    job, model_plan = _prepare(context, placement, searched)
    schedule = Schedule(done_units(context.folder))
    stages = Stages(model_plan, context.folder, schedule)
    if schedule.exhausted:
        return
    tasks = SelectionThread(_mask_selector(context, model_plan))
    pool = context.session.start_pool(job, placement.actors)
    try:
        Loop(schedule, stages, context.progress, context.log, context.result).run(pool, tasks)
    finally:
        pool.stop()


def _prepare(context: RunContext, placement: ModelPlacement, searched: SearchedCells) -> tuple[Job, ModelPlan]:
    """Create the model's arrays. Returns no plan of the sweep, since that may be large."""
    sweep, folder, model = context.sweep, context.folder, placement.model
    assert sweep.cache
    planned = plan(sweep, searched)
    inspect_gpu = context.session.inspect_gpu if placement.device == "cuda" else None
    profile, weights, provider = prepare_model(model, planned, context.corpora, folder, inspect_gpu)
    check_mask_files(sweep, model, weights)
    job = Job(
        folder.root, sweep.cache, model, weights, provider, profile, context.corpora, sweep.seed,
        sweep.max_new_tokens, context.lease.token,
    )  # fmt: skip
    model_plan = ModelPlan(
        model.name,
        context.corpora,
        read_mask_keys(folder, model.name),
        wanted_cells=frozenset(cell.id for cell in planned.cells if cell.model == model.name),
        selected_masks=planned.masks_of(model.name),
        caps={spec.name: spec.identification.cap for spec in sweep.corpora},
    )
    return job, model_plan


def _mask_selector(context: RunContext, model_plan: ModelPlan) -> Callable[[SelectUnit], None]:
    """A function that selects one mask, writes it, and publishes its done-mark."""
    sweep, folder = context.sweep, context.folder
    emotions = {spec.name: spec.emotions for spec in sweep.corpora}
    files = {file.label: file.path for study in sweep.studies.values() for file in study.mask_files}
    selection = MaskSelection(folder, model_plan.model, emotions, model_plan.caps, sweep.seed, files)

    def select(unit: SelectUnit) -> None:
        publish(folder, unit.id, selection.write(model_plan.masks[unit.mask]), context.lease)

    return select

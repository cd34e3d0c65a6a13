"""The driver: takes the store's lock, prepares it, and schedules every unit that is missing onto Ray actors.

Interrupt it at any moment and run it again: done-marks say what is finished, everything else is done again. Results are
a function of the plan, never of how many actors there are or which of them die.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray

from esn_dist.cluster.job import CorpusItems, Job
from esn_dist.cluster.pool import Died, Failed, Finished, Pool
from esn_dist.cluster.preflight import check_models
from esn_dist.cluster.prepare import check_mask_files, prepare_corpus, prepare_model, prepare_root
from esn_dist.cluster.progress import Log, Progress
from esn_dist.cluster.provenance import recorded
from esn_dist.cluster.rounds import next_round
from esn_dist.cluster.schedule import Schedule
from esn_dist.cluster.select import Selection, mask_keys
from esn_dist.cluster.stages import Stages
from esn_dist.errors import UserError
from esn_dist.store.done import done_units, publish, sweep_orphans
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease, Lock
from esn_dist.sweep.keys import Cell
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.spec import ModelSpec, Sweep
from esn_dist.sweep.units import SelectUnit

POLL = 0.5  # seconds between two looks at signals and the progress display
DEATHS = 3  # actors in a row that die without finishing a unit: the fault is not the unit's


@dataclass(slots=True)
class Result:
    """How a run ended.

    Attributes:
        finished: units done in this run. left: units that this run did not get to.
        parked: unit → reason, of units that failed on every attempt.
        lost: utterances that could not be read any more, with reasons.
        interrupted: number of the signal that stopped the run, or 0.
    """

    finished: int = 0
    left: int = 0
    parked: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    interrupted: int = 0


def run(sweep: Sweep, text: str, *, actors: int | None, progress: Progress) -> Result:
    """Run what `sweep` (whose YAML is `text`) asks for and the store lacks.

    Args:
        actors: workers per model; default: the sweep's, else one per GPU, else one per CPU core.

    Raises:
        UserError: the sweep cannot run as it is, or another driver holds the store.
    """
    assert sweep.store
    folder = StoreFolder(sweep.store)
    folder.root.mkdir(parents=True, exist_ok=True)
    result = Result()
    with Lock(folder.lock) as lease, recorded(folder, text):
        prepare_root(sweep, folder)
        sweep_orphans(folder, lease)
        check_models(sweep, plan(sweep))
        with _ray(actors or sweep.actors) as size, _signals(result):
            corpora = {}
            with suppress(_Stopped):
                for spec in sweep.corpora:
                    with progress.preparing(f"corpus {spec.name}") as report:
                        stoppable = partial(_report_or_stop, report, result)
                        corpora[spec.name] = prepare_corpus(sweep, spec, folder, workers=size, progress=stoppable)
            for model in sweep.models:
                found: dict[str, tuple[Cell, ...]] = {}
                while not result.interrupted:
                    _Run(sweep, plan(sweep, found), model, corpora, folder, lease, size, progress, result).go()
                    new = next_round(sweep, plan(sweep, found), folder, model.name)
                    if not new or result.left:
                        break
                    found = {name: (*found.get(name, ()), *new.get(name, ())) for name in {*found, *new}}
    return result


class _Stopped(Exception):
    """A signal came while a corpus was being prepared. What was made of it is found again by the next run."""


def _report_or_stop(report: Callable[[int, int], None], result: Result, done: int, total: int) -> None:
    if result.interrupted:
        raise _Stopped
    report(done, total)


class _Run:
    """One model's share of a run."""

    def __init__(
        self,
        sweep: Sweep,
        planned: Plan,
        model: ModelSpec,
        corpora: dict[str, CorpusItems],
        folder: StoreFolder,
        lease: Lease,
        size: int,
        progress: Progress,
        result: Result,
    ) -> None:
        assert sweep.cache
        self.result, self.size, self.progress, self.log = result, size, progress, Log(folder)
        self.device = _device(model)
        profile, weights = prepare_model(model, planned, corpora, folder, self.device)
        check_mask_files(sweep, model, weights)
        caps = {spec.name: spec.identification.cap for spec in sweep.corpora}
        emotions = {spec.name: spec.emotions for spec in sweep.corpora}
        self.job = Job(
            folder.root, sweep.cache, model, weights, profile, corpora, sweep.seed, sweep.max_new_tokens, lease.token
        )
        self.masks = mask_keys(folder, model.name)
        files = {file.label: file.path for study in sweep.studies.values() for file in study.mask_files}
        self.selection = Selection(folder, model.name, emotions, caps, sweep.seed, files)
        self.schedule = Schedule(done_units(folder))
        wanted = [cell.id for cell in planned.cells if cell.model == model.name]
        masks = planned.masks_of(model.name)
        self.stages = Stages(model.name, corpora, self.masks, wanted, masks, caps, folder, self.schedule)
        self.lease, self.folder, self.model = lease, folder, model

    def go(self) -> None:
        """Execute until nothing can run any more, or a signal asks to stop; units in flight are finished then."""
        if self.schedule.over:
            return
        gpus = {"num_gpus": self.job.model.gpus} if self.device == "cuda" else {}
        pool = Pool(self.job, self.size, {"num_cpus": 1, **gpus})
        deaths = 0
        try:
            while True:
                if not self.result.interrupted:
                    self._hand_out(pool)
                elif not self.schedule.running:
                    break
                if self.schedule.over:
                    break
                for event in pool.events(POLL):
                    deaths = deaths + 1 if isinstance(event, Died) else 0
                    self._take_in(event)
                    if deaths > DEATHS and isinstance(event, Died):
                        raise RuntimeError(f"{deaths} actors died one after another; the last: {event.reason}")
                self.progress.show(self.model.name, self.schedule, self.log)
        finally:
            pool.stop()
            self.result.left += self.schedule.left
            self.result.parked |= self.schedule.parked
            self.progress.show(self.model.name, self.schedule, self.log)

    def _hand_out(self, pool: Pool) -> None:
        for actor in pool.hungry:
            unit = self.schedule.take(actor)
            while isinstance(unit, SelectUnit):
                self._select(unit)
                unit = self.schedule.take(actor)
            if unit is None:
                return
            pool.give(actor, unit)

    def _take_in(self, event: Finished | Failed | Died) -> None:
        match event:
            case Finished(receipt):
                self._finish(receipt.unit)
                self.result.lost.update(receipt.lost)
                self.log.write("clip", receipt.unit, *receipt.lost)
            case Failed(unit, reason, traceback):
                parked = self.schedule.fail(unit, reason)
                self.log.write("parked" if parked else "failed", unit, traceback)
            case Died(actor, reason):
                parked_units = self.schedule.lose(actor, f"its actor died: {reason}")
                self.log.write("actor died", f"actor {actor}", reason, *parked_units)

    def _select(self, unit: SelectUnit) -> None:
        try:
            publish(self.folder, unit.id, self.selection.write(self.masks[unit.mask]), self.lease)
        except UserError as error:
            self.schedule.park(unit.id, str(error))
            self.log.write("parked", unit.id, str(error))
        else:
            self._finish(unit.id)

    def _finish(self, id: str) -> None:
        self.schedule.finish(id)
        self.stages.finished(id)
        self.result.finished += 1


def _device(model: ModelSpec) -> str:
    gpus = int(_resources().get("GPU", 0))
    if model.device == "cuda" and not gpus:
        raise UserError(f"model {model.name!r} asks for a GPU, and Ray sees none", fix="set device: cpu, or auto")
    return "cuda" if gpus and model.device != "cpu" else "cpu"


def _resources() -> dict[str, float]:
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


@contextmanager
def _ray(actors: int | None) -> Iterator[int]:
    """Ray, started here or the cluster of RAY_ADDRESS; yields the number of actors."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    else:
        # Two actors at least: a single one would leave the driver's own path untried on the smallest machines.
        cores = max(actors or os.cpu_count() or 1, 2)
        ray.init(
            address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
            object_store_memory=256 * 2**20, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}},
        )  # fmt: skip
    try:
        resources = _resources()
        yield actors or int(resources.get("GPU", 0)) or int(resources["CPU"])
    finally:
        ray.shutdown()


@contextmanager
def _signals(result: Result) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks to stop after the units in flight; a second one stops at once."""

    def ask(number: int, frame: Any) -> None:
        if result.interrupted:
            raise KeyboardInterrupt
        result.interrupted = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

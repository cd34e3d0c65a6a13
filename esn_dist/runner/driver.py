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
from functools import partial
from typing import Any, Literal

import ray

from esn_dist.backends.ray_actor import Actor
from esn_dist.backends.ray_pool import THREADS, Pool
from esn_dist.runner.loop import Loop, Result
from esn_dist.runner.mask_selection import Selection
from esn_dist.runner.preflight import check_models, devices, replicas
from esn_dist.runner.prepare import check_mask_files, prepare_corpus, prepare_model, prepare_root
from esn_dist.runner.progress import Progress
from esn_dist.runner.provenance import recorded
from esn_dist.runner.rounds import next_round
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.selection_thread import Desk
from esn_dist.runner.stages import Stages
from esn_dist.store.done import done_units, publish, sweep_orphans
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease, Lock
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.plan import Plan, plan
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.spec import ModelSpec, Sweep
from esn_dist.sweep.units import SelectUnit
from esn_dist.worker.job import CorpusItems, EngineProfile, Job


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
        asked = actors or sweep.actors
        with _ray(asked) as size, _signals(result):
            device = devices(sweep.models, gpus := _gpus())
            corpora = {}
            with suppress(_Stopped):
                for spec in sweep.corpora:
                    with progress.preparing(f"corpus {spec.name}") as report:
                        stoppable = partial(_report_or_stop, report, result)
                        corpora[spec.name] = prepare_corpus(sweep, spec, folder, workers=size, progress=stoppable)
            for model in sweep.models:
                found: dict[str, tuple[Cell, ...]] = {}
                on = device[model.name]
                workers = replicas(model, gpus) if on == "cuda" and not asked else size
                while not result.interrupted:
                    _Run(sweep, found, model, on, corpora, folder, lease, workers, progress, result).go()
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
        found: dict[str, tuple[Cell, ...]],
        model: ModelSpec,
        device: Literal["cpu", "cuda"],
        corpora: dict[str, CorpusItems],
        folder: StoreFolder,
        lease: Lease,
        size: int,
        progress: Progress,
        result: Result,
    ) -> None:
        assert sweep.cache
        self.result, self.size, self.progress, self.log = result, size, progress, RunLog(folder)
        self.device = device
        profile, weights, wanted, masks = self._prepare(plan(sweep, found), model, corpora, folder)
        check_mask_files(sweep, model, weights)
        caps = {spec.name: spec.identification.cap for spec in sweep.corpora}
        emotions = {spec.name: spec.emotions for spec in sweep.corpora}
        self.job = Job(
            folder.root, sweep.cache, model, weights, profile, corpora, sweep.seed, sweep.max_new_tokens, lease.token
        )
        self.masks = read_mask_keys(folder, model.name)
        files = {file.label: file.path for study in sweep.studies.values() for file in study.mask_files}
        self.selection = Selection(folder, model.name, emotions, caps, sweep.seed, files)
        self.schedule = Schedule(done_units(folder))
        self.stages = Stages(model.name, corpora, self.masks, wanted, masks, caps, folder, self.schedule)
        self.lease, self.folder, self.model = lease, folder, model

    def _prepare(
        self, planned: Plan, model: ModelSpec, corpora: dict[str, CorpusItems], folder: StoreFolder
    ) -> tuple[EngineProfile, str, frozenset[str], tuple[MaskKey, ...]]:
        """Profile, fingerprint, and what is wanted; the plan itself is let go, for it may be large."""
        profile, weights = prepare_model(model, planned, corpora, folder, self.device)
        wanted = frozenset(cell.id for cell in planned.cells if cell.model == model.name)
        return profile, weights, wanted, planned.masks_of(model.name)

    def go(self) -> None:
        """Execute what can be executed; see `Loop.run`."""
        if self.schedule.over:
            return
        gpus = {"num_gpus": self.job.model.gpus} if self.device == "cuda" else {}
        actor: Any = Actor  # what ray.remote makes of the class, which its types do not say
        job = ray.put(self.job)
        pool = Pool(lambda: actor.options(num_cpus=1, max_concurrency=THREADS, **gpus).remote(job), self.size)
        try:
            loop = Loop(self.schedule, self.stages, self.progress, self.log, self.result)
            loop.run(pool, Desk(self._select))
        finally:
            pool.stop()

    def _select(self, unit: SelectUnit) -> None:
        publish(self.folder, unit.id, self.selection.write(self.masks[unit.mask]), self.lease)


def _gpus() -> list[int]:
    """Of each node of Ray's."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [int(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"]]


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

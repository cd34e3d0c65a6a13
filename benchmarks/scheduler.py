"""The driver without models: units per second, memory, and the speed-up that more workers give.

    python benchmarks/scheduler.py --size full --json scheduler.json    # a million units; about two minutes
    python benchmarks/scheduler.py --size full --ray --workers          # also idle Ray actors, and a simulated clock

Everything but the actors is the program's own: plan, store, stages, schedule, loop, progress and log. Actors are fake
ones that take no time, Ray actors that do nothing, or simulated ones that take the time of `SECONDS`. The driver runs
in a separate process. Its peak of resident memory is Linux's VmHWM, with interpreter, Ray and all else included.
"""

from __future__ import annotations

import heapq
import json
import os
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import numpy as np
import ray
import typer
from rich.console import Console
from rich.table import Table

from esn_dist.backends.ray_actor import start_actor
from esn_dist.backends.ray_pool import RayPool
from esn_dist.errors import UserError
from esn_dist.runner.loop import DriverTasks, Loop, RunResult
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.selection_thread import CAPACITY, SelectionThread
from esn_dist.runner.stages import ModelPlan, Stages
from esn_dist.seeds import generator
from esn_dist.store.done import done_units
from esn_dist.store.folder import StoreFolder
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.plan import plan
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.units import AnswerUnit, IdentifyUnit, SelectUnit, Unit
from esn_dist.terms import SHARD_ROWS
from esn_dist.worker.job import CorpusItems
from esn_dist.worker.load_tracker import LoadTracker
from esn_dist.worker.protocol import ActorEvent, ActorPool, Finished, Joined, Receipt
from speed.fresh_process import in_fresh_process, peak_bytes
from speed.selection_passes import SelectionPasses
from speed.synthetic_store import StoreSize, build, corpus_items, load, many_cells, paper

ACTORS = 1_000
COUNTED = range(4_000, 4_500)  # units, in the order of their ends, during which function calls are counted
GAINS = {"tiny": 12, "full": 1_333}  # of each of 750 masks: 10^4 and 10^6 cells, each of which is a unit
RAY_GAINS = {"tiny": 1, "full": 12}
RAY_ACTORS = {"tiny": (2,), "full": (2, 8, 32)}
WORKERS = {"tiny": (1, 8), "full": (1, 2, 4, 8, 16, 64)}

# Times of simulated actors. An answer and a clip's features: measured on an H100 (`esn_dist/sweep/rates.yaml`). A shard
# of a pass, read as its sum or by its rows: 28 x 18,944 gates in 3 parts, measured by `benchmarks/store.py` on two
# virtual cores with files dropped from memory first.
SECONDS = {"answer": 1 / 248.9, "clip": 1 / 240, "shard's sum": 0.020, "shard's rows": 0.25, "mask": 0.3}
SPREAD = 0.1  # of a unit's time (deviation of its logarithm)
LATENCY = 0.002  # seconds from a submission until an idle actor begins (a round trip of Ray takes 1.7 ms)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    size: StoreSize = "tiny",
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    with_ray: Annotated[bool, typer.Option("--ray", help="Also dispatch to real Ray actors.")] = False,
    workers: Annotated[bool, typer.Option("--workers", help="Also simulate the paper's sweep.")] = False,
) -> None:
    """Measure, and print a table."""
    figures: dict[str, Any] = {"size": size, "cpus": os.cpu_count(), "ray": ray.__version__}
    with tempfile.TemporaryDirectory() as root:
        prepared = in_fresh_process(build, Path(root), many_cells(GAINS[size]))
        figures |= {"prepare_seconds": prepared["seconds"], "prepare_peak_bytes": prepared["peak_bytes"]}
        figures |= in_fresh_process(drive, Path(root), 0)
    if with_ray:
        with tempfile.TemporaryDirectory() as root:
            build(Path(root), many_cells(RAY_GAINS[size]))
            figures["ray_dispatch"] = {n: in_fresh_process(drive, Path(root), n) for n in RAY_ACTORS[size]}
    if workers:
        with tempfile.TemporaryDirectory() as root:
            in_fresh_process(build, Path(root), paper(size))
            figures["workers"] = in_fresh_process(simulate, Path(root), WORKERS[size])
    _show(figures)
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def drive(root: Path, ray_actors: int) -> dict[str, Any]:
    """Run every unit of a synthetic store, with fake actors or with a number of Ray actors."""
    if ray_actors:
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    pool = idle_pool(ray_actors) if ray_actors else CountingPool(ACTORS)
    joined = 0
    while joined < pool.size:
        joined += sum(isinstance(event, Joined) for event in pool.events(1.0))
    imports, started = peak_bytes(), time.monotonic()
    run = SyntheticRun(root, load(root).models[0].name)
    ready = time.monotonic()
    result = run.go(pool, SelectionThread(lambda unit: None))
    seconds = time.monotonic() - ready
    pool.stop()
    ray.shutdown()
    assert not result.remaining
    return {
        "units": result.finished, "actors": ray_actors or ACTORS, "units_per_second": result.finished / seconds,
        "stages_seconds": ready - started, "driver_peak_bytes": peak_bytes(), "imports_bytes": imports,
        **({"calls_per_unit": pool.calls / len(COUNTED)} if isinstance(pool, CountingPool) else {}),
    }  # fmt: skip


def simulate(root: Path, sizes: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """The paper's sweep, model after model, on each number of workers: hours, and how the workers' time was spent."""
    sweep, figures = load(root), dict[int, dict[str, float]]()
    passes = {model.name: passes_of(root, model.name) for model in sweep.models}
    for size in sizes:
        spent = dict.fromkeys(("seconds", "busy", "tail", "units", "selecting"), 0.0)
        for model in sweep.models:
            run, clock = SyntheticRun(root, model.name), Clock()
            pool = SimulatedPool(size, clock, run.corpora)
            selection = SimulatedSelection(clock, run.masks, passes[model.name])
            assert not run.go(pool, selection).remaining
            spent["seconds"] += clock.now
            spent["selecting"] += selection.spent
            spent["busy"] += sum(pool.busy)
            spent["tail"] += sum(clock.now - free for free in pool.free)
            spent["units"] += len(run.schedule.done)
        whole = size * spent["seconds"]
        figures[size] = {
            "hours": spent["seconds"] / 3600, "units": int(spent["units"]), "share_of_linear": spent["busy"] / whole,
            "idle_at_the_end": spent["tail"] / whole, "idle_before": (whole - spent["busy"] - spent["tail"]) / whole,
            "selecting_seconds": spent["selecting"],
        }  # fmt: skip
    return figures


def passes_of(root: Path, model: str) -> SelectionPasses:
    """The passes over counts of one model's selections."""
    sweep, folder = load(root), StoreFolder(root)
    caps = {spec.name: spec.identification.cap for spec in sweep.corpora}
    return SelectionPasses(folder, model, corpus_items(sweep, folder), caps)


class SyntheticRun:
    """One model's run on a synthetic store, as the driver sets it up."""

    def __init__(self, root: Path, model: str) -> None:
        sweep, folder = load(root), StoreFolder(root)
        self.corpora, self.log = corpus_items(sweep, folder), RunLog(folder)
        self.masks = read_mask_keys(folder, model)
        self.schedule = Schedule(done_units(folder))
        planned = plan(sweep)
        wanted, masks = frozenset(c.id for c in planned.cells if c.model == model), planned.masks_of(model)
        del planned  # as the driver does before it makes the units
        caps = {spec.name: spec.identification.cap for spec in sweep.corpora}
        model_plan = ModelPlan(model, self.corpora, self.masks, wanted, masks, caps)
        self.stages = Stages(model_plan, folder, self.schedule)

    def go(self, pool: ActorPool, tasks: DriverTasks) -> RunResult:
        result = RunResult()
        with Path(os.devnull).open("w") as nowhere:
            console = Console(file=nowhere, force_terminal=True)
            with ProgressDisplay(console) as progress:
                Loop(self.schedule, self.stages, progress, self.log, result).run(pool, tasks)
        return result


class FakePool:
    """Actors that finish every unit at once; each call of `events` ends one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._load = LoadTracker()
        self._in_flight: deque[tuple[int, str]] = deque()

    def least_loaded(self, max_in_flight: int) -> int | None:
        return self._load.least_loaded(max_in_flight)

    def submit(self, actor: int, unit: Unit) -> None:
        self._load.change(actor, +1)
        self._in_flight.append((actor, unit.id))

    def events(self, timeout: float) -> list[ActorEvent]:
        if not len(self._load):
            return self._join()
        if not self._in_flight:
            time.sleep(timeout)
            return []
        return [self._finished(*self._in_flight.popleft())]

    def stop(self) -> None:
        self._in_flight.clear()

    def _join(self) -> list[ActorEvent]:
        for actor in range(self.size):
            self._load.add(actor)
        return [Joined(actor, 0.0) for actor in range(self.size)]

    def _finished(self, actor: int, unit: str) -> ActorEvent:
        self._load.change(actor, -1)
        return Finished(actor, Receipt(unit, 0.0))


class CountingPool(FakePool):
    """A fake pool that counts the function calls of its caller's thread while the units of `COUNTED` end.

    Attributes:
        calls: their number, in Python and in C; unlike seconds, the same on every machine.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.calls, self._ended = 0, 0

    def events(self, timeout: float) -> list[ActorEvent]:
        events = super().events(timeout)
        self._ended += sum(isinstance(event, Finished) for event in events)
        if events and self._ended == COUNTED.start:
            sys.setprofile(self._count)
        elif self._ended == COUNTED.stop:
            sys.setprofile(None)
        return events

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


class Clock:
    """Simulated seconds."""

    now = 0.0


class SimulatedPool(FakePool):
    """Actors whose units take the time of `SECONDS`.

    Attributes:
        busy, free: seconds that each actor worked, and the time at which its last unit ends.
    """

    def __init__(self, size: int, clock: Clock, corpora: dict[str, CorpusItems]) -> None:
        super().__init__(size)
        self.clock, self.corpora = clock, corpora
        self.busy, self.free = [0.0] * size, [0.0] * size
        self._ends: list[tuple[float, int, str]] = []

    def submit(self, actor: int, unit: Unit) -> None:
        self._load.change(actor, +1)
        seconds = self._seconds(unit)
        self.free[actor] = max(self.free[actor], self.clock.now + LATENCY) + seconds
        self.busy[actor] += seconds
        heapq.heappush(self._ends, (self.free[actor], actor, unit.id))

    def events(self, timeout: float) -> list[ActorEvent]:
        if not len(self._load):
            return self._join()
        if not self._ends or self._ends[0][0] > self.clock.now + timeout:
            self.clock.now += timeout
            return []
        end, actor, unit = heapq.heappop(self._ends)
        self.clock.now = max(self.clock.now, end)
        return [self._finished(actor, unit)]

    def stop(self) -> None:
        self._ends.clear()

    def _seconds(self, unit: Unit) -> float:
        spread = float(np.exp(SPREAD * generator("spread", unit.id).normal()))
        if isinstance(unit, AnswerUnit):
            return spread * SECONDS["answer"] * len(unit.cells) * len(self.corpora[unit.corpus].evaluation)
        if isinstance(unit, IdentifyUnit):
            return spread * SECONDS["answer"] * SHARD_ROWS * len(unit.shards)
        return spread * SECONDS["clip"] * SHARD_ROWS


class SimulatedSelection:
    """The driver's selections: a pass over the counts if a mask needs others than the mask before.

    Attributes:
        spent: seconds of selecting.
    """

    def __init__(self, clock: Clock, masks: dict[str, MaskKey], passes: SelectionPasses) -> None:
        self.clock, self.masks, self.passes, self.spent = clock, masks, passes, 0.0
        self._counts_in_memory: tuple[object, ...] | None = None
        self._ends: deque[tuple[float, str]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._ends)

    @property
    def has_capacity(self) -> bool:
        return len(self._ends) < CAPACITY

    def submit(self, unit: SelectUnit) -> None:
        mask = self.masks[unit.mask]
        seconds = SECONDS["mask"]
        if mask.sources and (mask.corpus, mask.parts) != self._counts_in_memory:
            self._counts_in_memory = (mask.corpus, mask.parts)
            shards = self.passes.read_for(mask, self.masks.values())
            seconds += SECONDS["shard's sum"] * shards.summed + SECONDS["shard's rows"] * shards.by_rows
        self.spent += seconds
        begin = max(self.clock.now, self._ends[-1][0] if self._ends else 0.0)
        self._ends.append((begin + seconds, unit.id))

    def results(self) -> list[tuple[str, UserError | None]]:
        ended: list[tuple[str, UserError | None]] = []
        while self._ends and self._ends[0][0] <= self.clock.now:
            ended.append((self._ends.popleft()[1], None))
        return ended


def idle_pool(size: int) -> RayPool:
    """A pool of Ray actors whose units do nothing."""

    # Defined here: a class of a script cannot be imported in the actor's process.
    class Idle:
        def load_seconds(self) -> float:
            return 0.0

        def execute(self, unit: Unit) -> Receipt:
            return Receipt(unit.id, 0.0)

    return RayPool(lambda: start_actor(Idle, num_cpus=0), size)


def _show(figures: dict[str, Any]) -> None:
    console, table = Console(), Table("workers", "units", "units/s", "driver's peak", title="The driver's loop")
    for kind, row in [("fake", figures), *(("of Ray", row) for row in figures.get("ray_dispatch", {}).values())]:
        peak = f"{row['driver_peak_bytes'] / 2**20:,.0f} MiB"
        table.add_row(f"{row['actors']} {kind}", f"{row['units']:,}", f"{row['units_per_second']:,.0f}", peak)
    console.print(table)
    if "workers" in figures:
        columns = ("workers", "hours", "of linear", "idle before", "at the end", "selecting")
        simulated = Table(*columns, title="The paper's sweep, simulated")
        for size, row in figures["workers"].items():
            shares = [f"{row[name]:.1%}" for name in ("share_of_linear", "idle_before", "idle_at_the_end")]
            simulated.add_row(str(size), f"{row['hours']:.2f}", *shares, f"{row['selecting_seconds']:.0f} s")
        console.print(simulated)


if __name__ == "__main__":
    app()

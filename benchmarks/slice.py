"""A real slice of a sweep at full size, with driver, Ray actors and store: the speed of the whole and of each step.

    python benchmarks/full_size.py write qwen2.5-omni-7b /data/omni    # once: random weights in the published form
    python benchmarks/slice.py qwen2.5-omni-7b /data/omni --json FILE
    python benchmarks/slice.py qwen2.5-omni-7b /data/omni --actors 2 --kill    # kill -9 of one actor on the way
    python benchmarks/slice.py qwen2.5-omni-7b /data/omni --gpus 2             # one replica over two GPUs

`esn-dist run` runs in a separate process. Its done-marks give the times at which answers were safe on disk, its event
log the times at which actors were ready. Clips are synthetic, of 2 to 8 s; identification, selection and answers are
real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import soundfile
import typer

from esn_dist.inference.selfcheck import clip
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells
from esn_dist.store.run_log import RunLog
from speed.done_marks import Marked, Pace, answered, done_marks, encoded, identified, pace
from speed.forecast import STEPS, Measured, errors
from speed.gpus import mean_utilisation, query_gpus, utilisation

CORPUS = "buzz"
EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
SECONDS = (2.0, 8.0)
SWEEP = """\
name: slice
seed: 1
store: store
cache: {cache}
max_new_tokens: 20
models: [{{name: {model}, source: {source}, gpus: {gpus}}}]
corpora:
  - name: {corpus}
    type: manifest
    path: clips/manifest.csv
    emotions: [{emotions}]
    evaluation: {{splits: [test], per_emotion: {per_emotion}}}
    identification: {{splits: [train], candidates: {candidates}, cap: {candidates}}}
studies:
  slice:
    selectors: [RND, ConAct]
    fractions: 0.5 %
    seeds: {seeds}
    interventions: [deactivate, {{type: steer, alpha: 0.3}}]
"""
ENOUGH = {1: (5, 160), 2: (15, 224), 4: (35, 448), 8: (75, 832)}
"""By number of actors: seeds for ten units of 2,000 answers each, and candidates for two units of counts each."""


def help_for_steady_rate(column: int) -> str:
    """The help's sentence on seeds (0) or candidates (1)."""
    each = ", ".join(f"{sizes[column]} for {actors}" for actors, sizes in ENOUGH.items())
    return f"For a steady pace, by actors: {each}."


def main(
    model: str,
    checkpoint: Path,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    actors: int = 1,
    gpus: Annotated[int, typer.Option(help="GPUs of each replica.")] = 1,
    per_emotion: Annotated[int, typer.Option(help="Evaluation utterances of each of five emotions.")] = 200,
    candidates: Annotated[
        int, typer.Option(help=f"Identification utterances of each emotion. {help_for_steady_rate(1)}")
    ] = 64,
    seeds: Annotated[int, typer.Option(help=f"Seeds of RND, of two cells each. {help_for_steady_rate(0)}")] = 5,
    kill: Annotated[bool, typer.Option("--kill", help="Kill one actor once some answers are done.")] = False,
    cache: Annotated[Path | None, typer.Option(help="Folder of encoded clips that several runs share.")] = None,
    keep: Annotated[Path | None, typer.Option(help="New folder of clips and store; default: a temporary one.")] = None,
) -> None:
    """Run the slice, print its figures as JSON.

    A pace is steady where there are more than two units for each actor. With fewer than ten it is coarse. A unit has
    about 2,000 answers: two cells, at the default of --per-emotion.
    """
    with tempfile.TemporaryDirectory() as passing:
        folder = keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        write_corpus(folder / "clips", {"test": per_emotion, "train": candidates})
        text = SWEEP.format(
            model=model, corpus=CORPUS, cache=(cache or folder / "cache").resolve(), source=checkpoint.resolve(),
            gpus=gpus, emotions=", ".join(EMOTIONS), per_emotion=per_emotion, candidates=candidates, seeds=seeds,
        )  # fmt: skip
        (folder / "slice.yaml").write_text(text, encoding="utf-8")
        used = cache is not None and any(cache.rglob("*.safetensors"))
        observed = watch(folder, actors, kill)
        excluded = exclusions_of(observed, gpus, used)
        facts = figures_of(folder, model, per_emotion * len(EMOTIONS), observed, actors, excluded)
        figures = {"model": model, "actors": actors, "gpus_per_actor": gpus, **facts}
        if kill and not observed.killed:
            typer.echo(f"no actor was killed: the run was over before {2 * actors + 1} units of answers", err=True)
    typer.echo(json.dumps(figures, indent=1))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write_corpus(folder: Path, per_emotion: Mapping[str, int]) -> None:
    """Write clips of random lengths and a manifest whose labels mean nothing."""
    folder.mkdir(parents=True)
    rows, draw = ["id,path,emotion,speaker,split"], np.random.default_rng(0)
    for split, number in per_emotion.items():
        for emotion in EMOTIONS:
            for index in range(number):
                name = f"{split}-{emotion}-{index}.wav"
                soundfile.write(folder / name, clip(draw.uniform(*SECONDS)), 16_000)
                rows.append(f"{name[:-4]},{name},{emotion},{split}-{index % 10},{split}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@dataclass
class ObservedRun:
    """Measurements of a run from outside, with times of the wall clock.

    Attributes:
        driver_share: CPU time of the driver's process over wall time, while answers came.
        host_gb: peak memory in use on the machine.
        gpu_busy: mean utilisation of each GPU while answers came, in percent.
        killed: time at which an actor was killed; 0 where none was.
    """

    started: float = 0.0
    ended: float = 0.0
    driver_share: float = 0.0
    host_gb: float = 0.0
    gpu_busy: list[float] = field(default_factory=list)
    killed: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)


def watch(folder: Path, actors: int, kill: bool) -> ObservedRun:
    """Run the sweep and sample it twice a second."""
    observed = ObservedRun(started=time.time())
    command = [sys.executable, "-m", "esn_dist", "run", "slice.yaml", "--json", "--actors", str(actors)]
    cpu_times, busy = list[tuple[float, float]](), list[list[float]]()
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(0.5)
            observed.host_gb = max(observed.host_gb, psutil.virtual_memory().used / 1e9)
            units = sum(1 for _ in done_marks(StoreFolder(folder / "store"), "answer"))
            if not units:
                continue
            sample_cpu(cpu_times, driver)
            busy.append(utilisation())
            if kill and not observed.killed and units > 2 * actors:
                observed.killed = kill_one(driver)
    observed.ended = time.time()
    observed.result = read_result(folder, process.returncode)
    if len(cpu_times) > 1:
        (start, before), (end, after) = cpu_times[0], cpu_times[-1]
        observed.driver_share = (after - before) / (end - start)
    observed.gpu_busy = mean_utilisation(busy[:-2] or busy)
    return observed


def read_result(folder: Path, code: int) -> dict[str, Any]:
    """The JSON that the driver printed; exits with the end of its output where it was interrupted before that."""
    try:
        return dict(json.loads((folder / "out").read_text(encoding="utf-8")))
    except ValueError:
        last = (folder / "err").read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        problem = f"the run ended with code {code} before its figures; the end of its output:"
        raise SystemExit("\n".join([problem, *last])) from None


def sample_cpu(cpu_times: list[tuple[float, float]], driver: psutil.Process) -> None:
    """Append the time and the driver's CPU time, unless it has just ended."""
    try:
        times = driver.cpu_times()
    except psutil.NoSuchProcess:
        return
    cpu_times.append((time.time(), times.user + times.system))


def kill_one(driver: psutil.Process) -> float:
    """Kill one actor with SIGKILL; returns the time, or 0 where there is no actor."""
    for process in driver.children(recursive=True):
        with suppress(psutil.Error):  # processes come and go
            if "Actor" in " ".join(process.cmdline()[:1]):
                process.kill()
                return time.time()
    return 0.0


def figures_of(
    folder: Path, model: str, utterances: int, observed: ObservedRun, actors: int, excluded: Mapping[str, str]
) -> dict[str, Any]:
    """Figures from the marks and the log; `excluded` has the reason why a step cannot be compared with the forecast."""
    store = StoreFolder(folder / "store")
    cells = len(read_cells(store, model, CORPUS).row_by_id())
    done = {
        "encode": encoded(store, CORPUS),
        "identify": identified(store, CORPUS),
        "answer": answered(store, cells, utterances),
    }
    paces = {step: pace(marked, actors) for step, marked in done.items()}
    ready = [moment for moment, _ in events(folder, "model_loaded")]
    return {
        "cells": cells,
        "utterances": utterances,
        "seconds": {
            "whole run": round(observed.ended - observed.started, 1),
            "until the actors were ready": [round(moment - observed.started, 1) for moment in ready],
            "loading, by actor": [detail for _, detail in events(folder, "model_loaded")],
            "first answers after an actor was ready": round(min(done["answer"])[0] - ready[0], 1)
            if ready and done["answer"]
            else None,
        },
        "clips_encoded_per_second": paces["encode"].best,
        "counted_per_second": paces["identify"].best,
        "answers_per_second": paces["answer"].best,
        "steady": {step: pace.steady is not None for step, pace in paces.items()},
        "first_to_last_per_second": {step: pace.overall for step, pace in paces.items()},
        "units": {step: len(list(done_marks(store, step))) for step in ("encode", "identify", "select", "answer")},
        **forecast_figures(model, actors, measured(done, paces, ready, excluded)),
        "peak_gb": round(observed.result["peak_bytes"] / 1e9, 2),
        "splits": observed.result["splits"],
        "failed": observed.result["failed"],
        "parked": observed.result["failed"],  # the old key
        "host_gb": round(observed.host_gb, 1),
        "driver_cpu_share": round(observed.driver_share, 3),
        "gpu_busy_percent": observed.gpu_busy,
        "recovery_seconds": recovery(folder, observed.killed),
    }


def exclusions_of(observed: ObservedRun, gpus: int, cached: bool) -> dict[str, str]:
    """Reasons why steps cannot be compared with the planner's forecast, by step; empty where all can."""
    if gpus > 1:
        return dict.fromkeys(STEPS, "rates are of replicas on one GPU each")
    excluded = {"encode": "some clips were in the cache before"} if cached else {}
    if observed.killed:
        excluded["answer"] = "an actor was killed"
    if observed.result["failed"]:
        excluded |= dict.fromkeys(STEPS, "units failed")
    return excluded


def measured(
    done: Mapping[str, Marked], paces: Mapping[str, Pace], ready: Sequence[float], excluded: Mapping[str, str]
) -> Measured:
    """The measurements that the forecast is compared with."""
    last = max((moment for marked in done.values() for moment, _ in marked), default=None)
    return Measured(
        {step: pace.steady for step, pace in paces.items()},
        {step: sum(number for _, number in marked) for step, marked in done.items()},
        last - min(ready) if ready and last else None,
        excluded,
    )


def forecast_figures(model: str, actors: int, observed: Measured) -> dict[str, Any]:
    """Errors of the forecast, and why some are none."""
    by_step = errors(model, query_gpus("name"), actors, observed)
    return {
        "forecast_errors": {step: None if isinstance(error, str) else error for step, error in by_step.items()},
        "no_forecast_errors": {step: why for step, why in by_step.items() if isinstance(why, str)},
    }


def events(folder: Path, name: str) -> list[tuple[float, str]]:
    """Moments and details of the log's events of one name."""
    logged = RunLog(StoreFolder(folder / "store")).events()
    return [(event.time.timestamp(), event.details[0]) for event in logged if event.name == name]


def recovery(folder: Path, killed: float) -> dict[str, float | None] | None:
    """From the kill to the death's notice, and to the successor's readiness; None: no such event came.

    The log has milliseconds, rounded down: an immediate event may precede the kill, and counts as 0.
    """
    if not killed:
        return None
    times = {
        "noticed": [moment for moment, _ in events(folder, "worker_died") if moment >= killed - 0.001],
        "successor ready": [moment for moment, _ in events(folder, "model_loaded") if moment > killed],
    }
    return {what: max(0.0, round(min(moments) - killed, 1)) if moments else None for what, moments in times.items()}


if __name__ == "__main__":
    typer.run(main)

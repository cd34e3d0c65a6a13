"""A real slice of a sweep at full size: driver, Ray actors, store; what it takes, and what its parts take.

    python benchmarks/full_size.py write qwen2.5-omni-7b /data/omni    # once: random weights in the published form
    python benchmarks/slice.py qwen2.5-omni-7b /data/omni --json FILE
    python benchmarks/slice.py qwen2.5-omni-7b /data/omni --actors 2 --kill    # kill -9 of one actor on the way
    python benchmarks/slice.py qwen2.5-omni-7b /data/omni --gpus 2             # one replica over two GPUs

`esn-dist run` in a process of its own, watched from outside: done-marks say when answers were safe on disk, the event
log when actors were ready. Buzzing clips of 2 to 8 s; what is identified, selected and answered is real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import soundfile
import typer

from esn_dist.inference.selfcheck import clip
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells
from esn_dist.sweep.rates import forecast_error
from esn_dist.sweep.units import ENCODE_BLOCK, cells_per_block

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


def main(
    model: str,
    checkpoint: Path,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    actors: int = 1,
    gpus: Annotated[int, typer.Option(help="Of each replica.")] = 1,
    per_emotion: Annotated[int, typer.Option(help="Evaluation utterances of each of five emotions.")] = 200,
    candidates: Annotated[int, typer.Option(help="Identification utterances of each emotion.")] = 64,
    seeds: Annotated[int, typer.Option(help="Of RND: two cells each, beside ten of ConAct and the baseline.")] = 5,
    kill: Annotated[bool, typer.Option("--kill", help="Kill one actor once some answers are done.")] = False,
    cache: Annotated[Path | None, typer.Option(help="Folder of encoded clips that several runs share.")] = None,
    keep: Annotated[Path | None, typer.Option(help="A new folder for clips and store; default: a passing one.")] = None,
) -> None:
    """Run the slice, print its figures as JSON."""
    with tempfile.TemporaryDirectory() as passing:
        folder = keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        write_corpus(folder / "clips", {"test": per_emotion, "train": candidates})
        text = SWEEP.format(
            model=model, corpus=CORPUS, cache=(cache or folder / "cache").resolve(), source=checkpoint.resolve(),
            gpus=gpus, emotions=", ".join(EMOTIONS), per_emotion=per_emotion, candidates=candidates, seeds=seeds,
        )  # fmt: skip
        (folder / "slice.yaml").write_text(text, encoding="utf-8")
        facts = figures_of(folder, model, per_emotion * len(EMOTIONS), watch(folder, actors, kill), actors)
        error = None if gpus > 1 else error_of(model, facts["answers_per_second"], facts["steady"]["answer"], actors)
        figures = {"model": model, "actors": actors, "gpus_per_actor": gpus, **facts, "forecast_error": error}
    typer.echo(json.dumps(figures, indent=1))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write_corpus(folder: Path, per_emotion: Mapping[str, int]) -> None:
    """Clips and a manifest; their lengths are drawn, their labels mean nothing."""
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
class Watched:
    """What was seen of a run from outside, times by the wall clock.

    Attributes:
        driver_share: CPU time of the driver's process over wall time, while answers came.
        host_gb: most memory in use on the machine.
        gpu_busy: mean utilisation of each GPU while answers came, as the driver library tells it, in percent.
        killed: when an actor was killed; 0 where none was.
    """

    started: float = 0.0
    ended: float = 0.0
    driver_share: float = 0.0
    host_gb: float = 0.0
    gpu_busy: list[float] = field(default_factory=list)
    killed: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)


def watch(folder: Path, actors: int, kill: bool) -> Watched:
    """Run the sweep and look at it twice a second."""
    seen = Watched(started=time.time())
    command = [sys.executable, "-m", "esn_dist", "run", "slice.yaml", "--json", "--actors", str(actors)]
    looks, busy = list[tuple[float, float]](), list[list[float]]()
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(0.5)
            seen.host_gb = max(seen.host_gb, psutil.virtual_memory().used / 1e9)
            answered = sum(1 for _ in marks(folder, "answer"))
            if not answered:
                continue
            look(looks, driver)
            busy.append(utilisation())
            if kill and not seen.killed and answered > 2 * actors:
                seen.killed = kill_one(driver)
    seen.ended = time.time()
    seen.result = told(folder, process.returncode)
    if len(looks) > 1:
        seen.driver_share = (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0])
    seen.gpu_busy = np.mean(busy[:-2] or busy, axis=0).round(1).tolist() if busy else []
    return seen


def told(folder: Path, code: int) -> dict[str, Any]:
    """What the driver printed; what it complained of last, where it was interrupted before that."""
    try:
        return dict(json.loads((folder / "out").read_text(encoding="utf-8")))
    except ValueError:
        last = (folder / "err").read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        problem = f"the run ended with code {code} before its figures; the end of what it said:"
        raise SystemExit("\n".join([problem, *last])) from None


def look(looks: list[tuple[float, float]], driver: psutil.Process) -> None:
    """Another look at the driver's CPU time, unless it has just ended."""
    try:
        times = driver.cpu_times()
    except psutil.NoSuchProcess:
        return
    looks.append((time.time(), times.user + times.system))


def utilisation() -> list[float]:
    """Of each GPU, in percent; empty without any."""
    return [float(line) for line in of_gpus("utilization.gpu")]


def of_gpus(asked: str) -> list[str]:
    """What the driver library tells of each GPU; empty without any."""
    query = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [] if done.returncode else done.stdout.splitlines()


def kill_one(driver: psutil.Process) -> float:
    """kill -9 of one actor; when."""
    actor = next(p for p in driver.children(recursive=True) if "Actor" in " ".join(p.cmdline()[:1]))
    os.kill(actor.pid, signal.SIGKILL)
    return time.time()


def marks(folder: Path, step: str) -> Iterator[Path]:
    """Done-marks of one step."""
    return (folder / "store" / "done").glob(f"*/{step}-*.json")


def figures_of(folder: Path, model: str, utterances: int, seen: Watched, actors: int) -> dict[str, Any]:
    """What the marks and the log say."""
    cells = cells_of(folder, model)
    steps = {s: sorted(p.stat().st_mtime for p in marks(folder, s)) for s in ("encode", "identify", "select", "answer")}
    ready = [moment for moment, _ in events(folder, "ready")]
    encoded = pace([(at, ENCODE_BLOCK) for at in steps["encode"]], actors)
    answered = pace(answers_of(folder, cells, utterances), actors)
    return {
        "cells": cells,
        "utterances": utterances,
        "seconds": {
            "whole run": round(seen.ended - seen.started, 1),
            "until the actors were ready": [round(moment - seen.started, 1) for moment in ready],
            "loading, by actor": [told for _, told in events(folder, "ready")],
            "first answers after an actor was ready": round(min(steps["answer"]) - ready[0], 1)
            if ready and steps["answer"]
            else None,
        },
        "clips_encoded_per_second": encoded.best,
        "answers_per_second": answered.best,
        "steady": {"encode": encoded.steady is not None, "answer": answered.steady is not None},
        "first_to_last_per_second": {"encode": encoded.overall, "answer": answered.overall},
        "units": {step: len(times) for step, times in steps.items()},
        "peak_gb": round(seen.result["peak_bytes"] / 1e9, 2),
        "splits": seen.result["splits"],
        "parked": seen.result["parked"],
        "host_gb": round(seen.host_gb, 1),
        "driver_cpu_share": round(seen.driver_share, 3),
        "gpu_busy_percent": seen.gpu_busy,
        "recovery_seconds": recovery(folder, seen.killed),
    }


@dataclass(frozen=True, slots=True)
class Pace:
    """Things per second; None where marks are too few to tell.

    Attributes:
        steady: while every actor had work.
        overall: from the first mark to the last one, the end included, at which some actors have nothing left.
    """

    steady: float | None
    overall: float | None

    @property
    def best(self) -> float | None:
        """The steady one where it can be told."""
        return self.overall if self.steady is None else self.steady


def pace(done: Sequence[tuple[float, int]], actors: int) -> Pace:
    """How fast things were done, from the moment and the number of things of each mark.

    `actors` finish as many units in the time of one, side by side or in turns, so the seconds from each mark to the
    one that is `actors` marks later are a unit's. Summed, they are steady until fewer units are left than actors: up to
    the last mark but `actors - 1`. (A single window would count up to `actors - 1` marks too few where all mark at
    once.) More than `2 * actors` marks give a steady pace, two marks an overall one.
    """
    ordered, last = sorted(done), len(done) - 1
    spans = [(first, first + actors) for first in range(last + 2 - 2 * actors)]
    return Pace(_rate(ordered, spans) if len(spans) > 1 else None, _rate(ordered, [(0, last)]) if last > 0 else None)


def _rate(ordered: Sequence[tuple[float, int]], spans: Sequence[tuple[int, int]]) -> float | None:
    """Things of all `spans` (each from one mark, which is not counted, to another) over their seconds."""
    seconds = sum(ordered[stop][0] - ordered[start][0] for start, stop in spans)
    things = sum(number for start, stop in spans for _, number in ordered[start + 1 : stop + 1])
    return round(things / seconds, 1) if seconds else None


def error_of(model: str, answers_per_second: float | None, steady: bool, actors: int) -> float | None:
    """The planner's forecast of answering over what was measured, less one; None without a GPU, rate or steady pace."""
    names = set(of_gpus("name"))
    if answers_per_second is None or not steady or len(names) != 1:
        return None
    error = forecast_error(model, names.pop(), answers_per_second, actors)
    return None if error is None else round(error, 3)


def cells_of(folder: Path, model: str) -> int:
    """Cells in the store."""
    return len(read_cells(StoreFolder(folder / "store"), model, CORPUS).named())


def answers_of(folder: Path, cells: int, utterances: int) -> list[tuple[float, int]]:
    """When each unit's answers were marked, and how many they are: its first cell stands in its name."""
    block = cells_per_block(utterances)
    first = {mark: int(mark.name.split("-")[-2]) for mark in marks(folder, "answer")}
    return [(mark.stat().st_mtime, utterances * min(block, cells - start)) for mark, start in first.items()]


def events(folder: Path, name: str) -> list[tuple[float, str]]:
    """Moments and details of the log's events of one name."""
    path = folder / "store" / "log" / "events.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(datetime.fromisoformat(e["time"]).timestamp(), e["details"][0]) for e in lines if e["event"] == name]


def recovery(folder: Path, killed: float) -> dict[str, float | None] | None:
    """From the kill to the death's notice, and to the successor's readiness; None: no such event came."""
    if not killed:
        return None
    found = {
        "noticed": [at for at, _ in events(folder, "actor died") if at >= killed - 1],
        "successor ready": [at for at, _ in events(folder, "ready") if at > killed],
    }
    return {what: round(min(moments) - killed, 1) if moments else None for what, moments in found.items()}


if __name__ == "__main__":
    typer.run(main)

"""The driver's loop without models: units per second and memory against 1,000 fake actors.

    python benchmarks/scheduler.py --size full --json scheduler.json     # a million units

All is the driver's own (stages, schedule, progress, log, a real store) but the workers, which take no time.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from rich.console import Console

from esn_dist.cluster.actor import Receipt
from esn_dist.cluster.desk import Desk
from esn_dist.cluster.events import Event, Finished
from esn_dist.cluster.job import CorpusItems
from esn_dist.cluster.loop import Loop, Result
from esn_dist.cluster.pool import IN_FLIGHT, Hands
from esn_dist.cluster.prepare import prepare_model, prepare_root
from esn_dist.cluster.progress import Log, Progress
from esn_dist.cluster.schedule import Schedule
from esn_dist.cluster.select import mask_keys
from esn_dist.cluster.stages import Stages
from esn_dist.corpora.utterance import Clip, Utterance
from esn_dist.seeds import digest, generator
from esn_dist.store.create import add_corpus
from esn_dist.store.done import done_units
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_cells, read_utterances
from esn_dist.store.tables import SetAsideTable, UtteranceTable, in_whole_shards
from esn_dist.store.write import write_counts
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.plan import plan
from esn_dist.sweep.sizes import candidates
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.units import Unit

ACTORS = 1_000
GAINS = {"tiny": 12, "full": 1_333}  # of each of 750 masks: 10^4 and 10^6 cells, each a unit
PREFILL = 2_048
app = typer.Typer(add_completion=False)


@app.command()
def main(size: str = "tiny", out: Annotated[Path | None, typer.Option("--json")] = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), many(GAINS[size]))
        print("built", time.process_time())
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            figures = fresh.submit(drive, Path(folder)).result()
    print(json.dumps(figures, indent=1))
    if out:
        out.write_text(json.dumps(figures, indent=1))


def many(gains: int) -> dict[str, Any]:
    return {
        "name": "many",
        "seed": 1,
        "models": ["tiny-qwen2.5-omni"],
        "corpora": [
            {
                "name": "speech",
                "type": "synthetic",
                "emotions": ["anger", "joy", "neutral", "sadness", "surprise"],
                "condition": "studio",
                "evaluation": {"per_emotion": 400},
                "identification": {"candidates": 2000, "cap": 1000},
            }
        ],
        "studies": {
            "all": {
                "selectors": ["RND", "MAD", "ConAct"],
                "fractions": [str((n + 1) / 1000) for n in range(50)],
                "seeds": 5,
                "interventions": [{"type": "steer", "alpha": [(n + 1) / 1000 for n in range(gains)]}],
            }
        },
    }


def build(root: Path, written: dict[str, Any]) -> None:
    sweep = Sweep.model_validate(written)
    folder = StoreFolder(root)
    (root / "sweep.yaml").write_text(yaml.safe_dump(written))
    prepare_root(sweep, folder)
    for spec in sweep.corpora:
        sets = [
            _utterances(spec, "e", spec.evaluation.per_emotion),
            _utterances(spec, "i", (candidates(spec, None)[0] or 0) // len(spec.emotions)),
        ]
        add_corpus(
            folder,
            spec.name,
            spec.emotions,
            sets[0],
            in_whole_shards(sets[1], spec.emotions),
            SetAsideTable.empty(),
            {},
        )
    corpora = items(sweep, folder)
    for model in sweep.models:
        t = time.monotonic()
        planned = plan(sweep)
        print("plan", time.monotonic() - t, len(planned.cells))
        prepare_model(model, planned, corpora, folder, "cpu")
        print("prepare", time.monotonic() - t)
        for spec in sweep.corpora:
            answer(folder, model.name, corpora[spec.name])
        print("answered", time.monotonic() - t)


def _utterances(spec: CorpusSpec, kind: str, each: int) -> UtteranceTable:
    numbers = tuple(range(1, len(spec.emotions) + 1))
    return UtteranceTable.from_rows(
        [
            (f"{kind}{n}-{emotion}", "s", emotion, numbers, "", f"{kind}{n}.wav", 80_000, digest(kind, emotion, n))
            for n in range(each)
            for emotion in spec.emotions
        ]
    )


def items(sweep: Sweep, folder: StoreFolder) -> dict[str, CorpusItems]:
    def clips(spec: CorpusSpec, which: str) -> tuple[Clip | None, ...]:
        table = read_utterances(folder, spec.name, which)
        return tuple(
            Clip(Utterance(id, "s", label, "", Path("a.wav")), 80_000, "") if id else None
            for id, label in zip(table.id, table.label, strict=True)
        )

    return {
        spec.name: CorpusItems(
            spec.name, spec.emotions, spec.options, clips(spec, "evaluation"), clips(spec, "identification")
        )  # type: ignore[arg-type]
        for spec in sweep.corpora
    }


def answer(folder: StoreFolder, model: str, corpus: CorpusItems) -> None:
    draw = generator("answers", corpus.name)
    total = len(corpus.identification)
    for start in range(0, total, PREFILL):
        rows = slice(start, min(start + PREFILL, total))
        clips = [clip for clip in corpus.identification[rows] if clip]
        label = np.array([corpus.emotions.index(clip.utterance.emotion) for clip in clips], np.int8)
        other = ((label + 1) % len(corpus.emotions)).astype(np.int8)
        n = len(clips)
        write_counts(
            folder, model, corpus.name, rows,
            K=np.zeros((n, 3, 4, 256), np.uint16), T=np.tile(np.array([150, 60, 2], np.uint16), (n, 1)),
            answer=np.where(draw.random(n) < 0.6, label, other), outcome=np.ones(n, np.uint8),
            logprob=np.zeros((n, len(corpus.emotions)), np.float32), text=["1"] * n,
        )  # fmt: skip


class FakeWorkers:
    def __init__(self, size: int) -> None:
        self._hands = Hands()
        for n in range(size):
            self._hands.add(n)
        self._calls: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._hands)

    def hungry(self, ahead: bool) -> int | None:
        return self._hands.emptiest(IN_FLIGHT if ahead else 1)

    def give(self, actor: int, unit: Unit) -> None:
        self._hands.change(actor, +1)
        self._calls.append((actor, unit.id))

    def events(self, timeout: float) -> list[Event]:
        if not self._calls:
            time.sleep(timeout)
            return []
        actor, unit = self._calls.popleft()
        self._hands.change(actor, -1)
        return [Finished(Receipt(unit, 0.0, ()))]


def hwm() -> int:
    return (
        int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line).split()[1])
        * 1024
    )


def drive(root: Path) -> dict[str, Any]:
    folder = StoreFolder(root)
    sweep = Sweep.model_validate(yaml.safe_load((root / "sweep.yaml").read_text()))
    model = sweep.models[0].name
    corpora = items(sweep, folder)
    empty = hwm()
    started = time.monotonic()
    masks = mask_keys(folder, model)
    schedule = Schedule(done_units(folder))
    wanted = [id for corpus in corpora for id in read_cells(folder, model, corpus).id if id]
    caps = {spec.name: spec.identification.cap for spec in sweep.corpora}
    stages = Stages(model, corpora, masks, wanted, masks.values(), caps, folder, schedule)
    ready = time.monotonic()
    after = hwm()
    result = Result()
    with Path("/dev/null").open("w") as nowhere, Progress(Console(file=nowhere, force_terminal=True)) as progress:
        Loop(schedule, stages, progress, Log(folder), result).run(FakeWorkers(ACTORS), Desk(lambda unit: None))
    seconds = time.monotonic() - ready
    return {
        "units": result.finished, "left": result.left, "stages_seconds": ready - started, "loop_seconds": seconds,
        "units_per_second": result.finished / seconds, "driver_peak_bytes": hwm(), "imports_bytes": empty, "stages_bytes": after,
    }  # fmt: skip


if __name__ == "__main__":
    app()

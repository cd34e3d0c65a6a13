"""The store at the paper's full width: counts written and read by a selector, answers written, a million marks scanned.

    python benchmarks/store.py --size full --json store.json    # 5 GB of disk for a while; about five minutes

Counts are drawn to resemble real ones: each gate's probability, four factors of the utterance, the emotion's effect.
They go through the writer, the reader and the selectors of the package. Figures scaled to the paper's sweep say so.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer
import zarr
from rich.console import Console
from rich.table import Table

from esn_dist.runner.schedule import Schedule
from esn_dist.seeds import digest, generator
from esn_dist.selection.count_passes import sum_counts
from esn_dist.selection.count_sums import CountSums, sum_blocks
from esn_dist.selection.firing import Firing
from esn_dist.selection.identification_sets import IdentificationSet, counted_utterances, identification_set
from esn_dist.selection.masks import top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.store.create import add_answers, add_corpus, add_counts, add_model, create_root
from esn_dist.store.done import done_units, publish, unmark
from esn_dist.store.folder import DATA, DONE, StoreFolder
from esn_dist.store.lock import Lease, Lock
from esn_dist.store.read import count_blocks
from esn_dist.store.tables import CellTable, ExclusionTable, UtteranceTable, in_whole_shards
from esn_dist.store.write import write_answers, write_counts
from esn_dist.sweep.candidate_counts import total_candidates
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import plan
from esn_dist.sweep.selectors import PAPER_SELECTORS, RND
from esn_dist.sweep.units import AnswerUnit, cells_per_block
from esn_dist.terms import PARTS, SHARD_ROWS

PAPER = Path(__file__).parents[1] / "configs" / "paper.yaml"
EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
MODEL, CORPUS = "model", "speech"
FACTORS = 4
TOKENS = {"audio": (150, 60), "text": (60, 1), "generated": (1, 0)}  # mean and deviation of an utterance's positions

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured."""

    layers: int
    width: int
    shards: int  # of counts of each emotion
    evaluation: int  # utterances of each emotion
    blocks: int  # of answers
    marks: int


SIZES = {"tiny": Sizes(4, 256, 1, 8, 2, 2_000), "full": Sizes(28, 18_944, 2, 200, 100, 1_000_000)}


@app.command()
def main(
    size: Literal["tiny", "full"] = "tiny",
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    place: Annotated[Path | None, typer.Option("--folder", help="Where the store is made and removed again.")] = None,
) -> None:
    """Measure, and print a table."""
    sizes = SIZES[size]
    figures: dict[str, Any] = {
        "size": size, "cpus": os.cpu_count(), "python": sys.version.split()[0], "zarr": zarr.__version__,
        "numpy": np.__version__, "layers": sizes.layers, "width": sizes.width,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=place) as root:
        folder = StoreFolder(Path(root))
        create(folder, sizes)
        with Lock(folder.backend) as lease:
            figures |= {"counts": counts(folder, sizes, lease), "answers": answers(folder, sizes, lease)}
        figures["scaled_to_the_paper"] = scaled(figures)
    with tempfile.TemporaryDirectory(dir=place) as root:
        figures["resume"] = resume(StoreFolder(Path(root)), sizes.marks)
    show(figures)
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def counts(folder: StoreFolder, sizes: Sizes, lease: Lease) -> dict[str, Any]:
    """Write all shards as an actor does, then make a pass over them as a selector does, and one over every row."""
    shape = (len(PARTS), sizes.layers, sizes.width)
    gates, rows = Gates(sizes.layers, sizes.width), len(EMOTIONS) * sizes.shards * SHARD_ROWS
    raw, written, wrote, published = 2 * rows * int(np.prod(shape)), list[str](), Stopwatch(), Stopwatch()
    for shard in range(rows // SHARD_ROWS):
        code = shard // sizes.shards
        K, T = gates.draw(shard, code)
        with wrote:
            files = write_counts(
                folder, MODEL, CORPUS, slice(shard * SHARD_ROWS, (shard + 1) * SHARD_ROWS), K=K, T=T,
                answer=np.full(SHARD_ROWS, code, np.int8), outcome=np.ones(SHARD_ROWS, np.uint8),
                logprob=generator("logprob", shard).normal(size=(SHARD_ROWS, len(EMOTIONS))).astype(np.float32),
                text=[str(code)] * SHARD_ROWS,
            )  # fmt: skip
        with published:
            publish(folder, f"identify-{shard}", files, lease)
        written += files
    size = {file: (folder.data / file).stat().st_size for file in written}
    stored, summed = sum(size.values()), sum(size[file] for file in written if "/K_correct/" in file)
    firing, cold, warm = timed(folder, one_pass)
    by_rows, rows_cold, rows_warm = timed(folder, rows_pass)
    assert np.array_equal(firing.K, by_rows.K) and np.array_equal(firing.T, by_rows.T)
    shards = rows // SHARD_ROWS
    measured: dict[str, Any] = {
        "utterances": rows, "raw_bytes": raw, "stored_bytes": stored, "bytes_per_utterance": stored / rows,
        "sums_bytes_per_utterance": summed / rows, "sums_share_of_bytes": summed / stored,
        "write_bytes_per_second": raw / wrote.seconds, "publish_seconds_per_shard": published.seconds / shards,
        "pass_seconds_per_shard": cold / shards, "pass_seconds_per_shard_warm": warm / shards,
        "rows_pass_seconds_per_shard": rows_cold / shards, "rows_pass_seconds_per_shard_warm": rows_warm / shards,
        "rows_pass_bytes_per_second": raw / rows_cold, "rows_pass_bytes_per_second_warm": raw / rows_warm,
    }  # fmt: skip
    for selector in PAPER_SELECTORS:
        if selector != RND:
            with (scoring := Stopwatch()):
                top_neurons(scores_of(selector, firing), max(1, sizes.layers * sizes.width // 200))
            measured[f"seconds_of_{selector}"] = scoring.seconds
    return measured


def timed(folder: StoreFolder, read_pass: Callable[[StoreFolder], Firing]) -> tuple[Firing, float, float]:
    """The result of a pass, and its seconds: with files on the disk only, and with files in memory."""
    cold, warm = Stopwatch(), Stopwatch()
    forget(folder)
    with cold:
        read_pass(folder)
    with warm:
        firing = read_pass(folder)
    return firing, cold.seconds, warm.seconds


def one_pass(folder: StoreFolder) -> Firing:
    """What all selectors start from, as the driver sums it: here every shard is wanted whole, and read as its sum."""
    sums = CountSums(chosen(folder), range(len(PARTS)))
    sum_counts([sums], folder, MODEL, CORPUS)
    return sums.firing()


def rows_pass(folder: StoreFolder) -> Firing:
    """The same from every row, as shards are read that a cap cuts through, and stores without sums."""
    blocks = ((block.K, block.positions) for block in count_blocks(folder, MODEL, CORPUS))
    return sum_blocks(chosen(folder), blocks, range(len(PARTS)))


def chosen(folder: StoreFolder) -> IdentificationSet:
    candidates = counted_utterances(folder, MODEL, CORPUS)
    return identification_set(candidates.label, candidates.correct, EMOTIONS)


def answers(folder: StoreFolder, sizes: Sizes, lease: Lease) -> dict[str, Any]:
    """Write blocks of answers as an actor does."""
    utterances = len(EMOTIONS) * sizes.evaluation
    block, draw = cells_per_block(utterances), generator("answers")
    written, wrote, published = list[str](), Stopwatch(), Stopwatch()
    for number in range(sizes.blocks):
        answer = draw.integers(0, len(EMOTIONS), (block, utterances)).astype(np.int8)
        logprob = draw.normal(-3, 2, (block, utterances, len(EMOTIONS))).astype(np.float32)
        text = [[str(code + 1) for code in row] for row in answer]
        with wrote:
            files = write_answers(
                folder, MODEL, CORPUS, slice(number * block, (number + 1) * block),
                answer=answer, outcome=np.ones_like(answer, np.uint8), logprob=logprob, text=text,
            )  # fmt: skip
        with published:
            publish(folder, f"answer-{number}", files, lease)
        written += files
    total = block * utterances * sizes.blocks
    stored = sum((folder.data / file).stat().st_size for file in written)
    return {
        "answers": total, "block": [block, utterances], "bytes_per_answer": stored / total,
        "answers_per_second": total / wrote.seconds, "publish_seconds_per_block": published.seconds / sizes.blocks,
    }  # fmt: skip


def scaled(figures: dict[str, Any]) -> dict[str, Any]:
    """The paper's three models on its three corpora by multiplication: nothing of this was written or read.

    Candidates are all that `configs/paper.yaml` may ask; identification stops earlier where models answer well. A pass
    reads a sum for each of their shards, and the rows of one more of each emotion, which its cap cuts through.
    """
    sweep, counts = load_sweep(PAPER), figures["counts"]
    rows = {spec.name: total_candidates(spec, None)[0] or 0 for spec in sweep.corpora}
    requested = {spec.name: spec.evaluation.per_emotion * len(spec.emotions) for spec in sweep.corpora}
    answers = sum(requested[cell.corpus] for cell in plan(sweep).cells)
    utterances = sum(rows.values()) * len(sweep.models)
    raw = counts["raw_bytes"] / counts["utterances"]
    return {
        "utterances_with_counts": utterances, "answers": answers,
        "counts_bytes": utterances * counts["bytes_per_utterance"],
        "answers_bytes": answers * figures["answers"]["bytes_per_answer"],
        "counts_write_hours": utterances * raw / counts["write_bytes_per_second"] / 3600,
        "answers_write_hours": answers / figures["answers"]["answers_per_second"] / 3600,
        "pass_seconds": {
            spec.name: rows[spec.name] / SHARD_ROWS * counts["pass_seconds_per_shard"]
            + len(spec.emotions) * counts["rows_pass_seconds_per_shard"]
            for spec in sweep.corpora
        },
        "pass_seconds_by_rows": {
            name: count / SHARD_ROWS * counts["rows_pass_seconds_per_shard"] for name, count in rows.items()
        },
    }  # fmt: skip


def resume(folder: StoreFolder, marks: int) -> dict[str, Any]:
    """What a driver does first on a store whose units are all done: sweep, scan, and build the schedule."""
    units = [AnswerUnit(MODEL, CORPUS, n, n + 1, (digest("cell", n)[:16],)) for n in range(marks)]
    for number in range(256):
        (folder.done / f"{number:02x}").mkdir(parents=True)
    for unit in units:  # as `publish` leaves them, but not synced one by one: that would take minutes
        place = folder.done / hashlib.sha256(unit.id.encode()).hexdigest()[:2] / f"{unit.id}.json"
        place.write_bytes(b'{"files": {}, "unit": "' + unit.id.encode() + b'"}')
    swept, scanned, built = Stopwatch(), Stopwatch(), Stopwatch()
    with swept:
        folder.backend.remove_partial_writes(DONE)
    with scanned:
        done = done_units(folder)
    with built:
        schedule = Schedule(done)
        for unit in units:
            schedule.add(unit)
    unmark(folder, units[0].id)
    assert schedule.exhausted and len(done) == marks and len(done_units(folder)) == marks - 1
    return {
        "marks": marks, "sweep_seconds": swept.seconds, "scan_seconds": scanned.seconds,
        "schedule_seconds": built.seconds, "seconds": swept.seconds + scanned.seconds + built.seconds,
    }  # fmt: skip


class Gates:
    """Gates whose counts resemble real ones: K ~ Binomial(T, p), logit p = gate + factors of utterance + emotion."""

    def __init__(self, layers: int, width: int) -> None:
        draw = generator("gates", layers, width)
        gate_p = draw.beta(0.6, 1.2, (layers, width)).clip(1e-4, 1 - 1e-4)
        self._gate_logit_LN = np.log(gate_p / (1 - gate_p))
        self._loading_FLN = draw.normal(0, 0.3, (FACTORS, layers, width))
        self._effect_ELN = draw.normal(0, 0.2, (len(EMOTIONS), layers, width))

    def draw(self, shard: int, code: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """K[utterance, part, layer, neuron] and T[utterance, part] of one shard of one emotion."""
        draw = generator("shard", shard)
        T = np.stack([draw.normal(*TOKENS[part], SHARD_ROWS).clip(1, 900) for part in PARTS], 1).astype(np.uint16)
        K = np.empty((*T.shape, *self._gate_logit_LN.shape), np.uint16)
        for row, part in np.ndindex(T.shape):
            shift_LN = np.tensordot(draw.normal(size=FACTORS), self._loading_FLN, 1) + self._effect_ELN[code]
            K[row, part] = draw.binomial(T[row, part], 1 / (1 + np.exp(-self._gate_logit_LN - shift_LN)))
        return K, T


class Stopwatch:
    """Seconds inside its `with` blocks, summed."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds += time.monotonic() - self._started


def create(folder: StoreFolder, sizes: Sizes) -> None:
    """An empty store of one model and one corpus."""
    create_root(folder, {})
    pool = in_whole_shards(utterances(sizes.shards * SHARD_ROWS), EMOTIONS)
    add_corpus(folder, CORPUS, EMOTIONS, utterances(sizes.evaluation), pool, ExclusionTable.empty(), {})
    add_model(folder, MODEL, sizes.layers, sizes.width, {})
    add_counts(folder, MODEL, CORPUS)
    block, nan = cells_per_block(len(EMOTIONS) * sizes.evaluation), float("nan")
    cells = [(f"c{n}", "steer", "", "", "", nan, -1, "", 0.1 * n, nan) for n in range(block * sizes.blocks)]
    add_answers(folder, MODEL, CORPUS, CellTable.from_rows(cells), block)


def utterances(each: int) -> UtteranceTable:
    """So many of each emotion, which are names only."""
    numbers, names = tuple(range(1, 6)), [(f"{emotion}-{n}", emotion) for emotion in EMOTIONS for n in range(each)]
    return UtteranceTable.from_rows([(name, "", emotion, numbers, "", name, 1, "") for name, emotion in names])


def forget(folder: StoreFolder) -> None:
    """Drop the data's files from the system's memory, so that they are read from the disk."""
    for key in folder.backend.keys_below(DATA):
        with opened(folder.root / key) as descriptor:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def show(figures: dict[str, Any]) -> None:
    """Tables for a person."""
    console = Console()
    for title in ("counts", "answers", "scaled_to_the_paper", "resume"):
        table = Table("what", "measured" if title != "scaled_to_the_paper" else "scaled, not run", title=title)
        for name, value in figures[title].items():
            table.add_row(name.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else str(value))
        console.print(table)


if __name__ == "__main__":
    app()

"""The speed of a run from its done-marks: when each unit was safe on disk, and how many items it had.

Knows no GPUs, models or forecasts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_utterances
from esn_dist.sweep.units import ENCODE_BLOCK, cells_per_block

SHARD_OF_T = re.compile(r"/T/c\.(\d+)\.")  # in the name of a file that an identification unit has written
Marked = Sequence[tuple[float, int]]
"""When units were marked as done, and the number of clips or answers of each."""


def done_marks(store: StoreFolder, step: str) -> Iterator[Path]:
    """Done-marks of one step."""
    return store.done.glob(f"*/{step}-*.json")


def encoded(store: StoreFolder, corpus: str) -> Marked:
    """Clips of each block; a mark's name has the set and the block."""
    units = []
    for mark in done_marks(store, "encode"):
        pool, block = mark.stem.split("-")[-2:]
        units.append((mark.stat().st_mtime, clips_of(store, corpus, pool, {int(block)})))
    return units


def identified(store: StoreFolder, corpus: str) -> Marked:
    """Candidates of each unit: a mark lists a file for each shard."""
    units = []
    for mark in done_marks(store, "identify"):
        shards = {int(number) for number in SHARD_OF_T.findall(mark.read_text(encoding="utf-8"))}
        units.append((mark.stat().st_mtime, clips_of(store, corpus, "identification", shards)))
    return units


def answered(store: StoreFolder, cells: int, utterances: int) -> Marked:
    """Answers of each unit of the only corpus; a mark's name has its first cell."""
    block = cells_per_block(utterances)
    first = {mark: int(mark.name.split("-")[-2]) for mark in done_marks(store, "answer")}
    return [(mark.stat().st_mtime, utterances * min(block, cells - start)) for mark, start in first.items()]


def clips_of(store: StoreFolder, corpus: str, pool: str, blocks: Iterable[int]) -> int:
    """Number of utterances of a set in some of its blocks; the last rows of a block may be empty."""
    ids = read_utterances(store, corpus, pool).id
    return sum(1 for block in blocks for id in ids[block * ENCODE_BLOCK : (block + 1) * ENCODE_BLOCK] if id)


@dataclass(frozen=True, slots=True)
class Pace:
    """Items per second; None where there are too few marks.

    Attributes:
        steady: while every actor had work.
        overall: from the first mark to the last one, including the end, when some actors have no work left.
    """

    steady: float | None
    overall: float | None

    @property
    def best(self) -> float | None:
        """The steady pace where it is known, else the overall one."""
        return self.overall if self.steady is None else self.steady


def pace(done: Marked, actors: int) -> Pace:
    """The pace from the time and the number of items of each mark.

    `actors` finish as many units in the time of one, in parallel or in turns. So the seconds from each mark to the one
    that is `actors` marks later are the time of one unit. Their sum is steady until fewer units than actors are left:
    up to the last mark but `actors - 1`. (A single window would count up to `actors - 1` marks too few where all mark
    at once.) More than `2 * actors` marks give a steady pace, two marks an overall one.
    """
    ordered, last = sorted(done), len(done) - 1
    spans = [(first, first + actors) for first in range(last + 2 - 2 * actors)]
    return Pace(_rate(ordered, spans) if len(spans) > 1 else None, _rate(ordered, [(0, last)]) if last > 0 else None)


def _rate(ordered: Marked, spans: Sequence[tuple[int, int]]) -> float | None:
    """Items of all `spans` (each from one mark, which is not counted, to another) over their seconds."""
    seconds = sum(ordered[stop][0] - ordered[start][0] for start, stop in spans)
    items = sum(number for start, stop in spans for _, number in ordered[start + 1 : stop + 1])
    return round(items / seconds, 1) if seconds else None

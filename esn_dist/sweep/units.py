"""The units of work: what an actor executes and the store marks done. The plan composes them, never the free workers.

Knows the sizes of the sets and how many candidates were answered correctly; knows no models and no Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import ClassVar

from esn_dist.seeds import digest
from esn_dist.terms import SHARD_ROWS

ENCODE_BLOCK = SHARD_ROWS
"""Utterances whose audio embeddings share one cache file: the smallest number that a round can need."""
SHARDS_PER_UNIT = 8
"""Shards of an identify unit: 256 utterances are enough to fill length-sorted batches."""
ANSWERS_PER_BLOCK = 2_000
"""Answers that a unit aims at: seconds of work, so that a kill loses little."""


class Step(StrEnum):
    """The steps of a sweep, in the order in which it needs them; a unit belongs to one."""

    ENCODE = "encode"
    IDENTIFY = "identify"
    SELECT = "select"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class EncodeUnit:
    """Audio embeddings of block number `block` of one of a corpus's two sets ("evaluation", "identification")."""

    step: ClassVar[Step] = Step.ENCODE

    model: str
    corpus: str
    set_name: str
    block: int
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _name(self, self.model, self.corpus, self.set_name, f"{self.block:06d}")

    @property
    def rows(self) -> range:
        """Rows of the set; those of the last block may reach beyond its end."""
        return range(self.block * ENCODE_BLOCK, (self.block + 1) * ENCODE_BLOCK)


@dataclass(frozen=True, slots=True)
class IdentifyUnit:
    """Whole K-shards of candidates answered by the unintervened model, with counts."""

    step: ClassVar[Step] = Step.IDENTIFY

    model: str
    corpus: str
    shards: tuple[int, ...]
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _name(self, self.model, self.corpus, f"{self.shards[0]:05d}", digest(self.shards)[:8])


@dataclass(frozen=True, slots=True)
class SelectUnit:
    """One mask, computed from counts (or drawn, for RND) by the driver."""

    step: ClassVar[Step] = Step.SELECT

    model: str
    mask: str
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _name(self, self.model, self.mask)


@dataclass(frozen=True, slots=True)
class AnswerUnit:
    """A block of cells × all evaluation utterances of a corpus: rows `start` to `stop` of the cell axis."""

    step: ClassVar[Step] = Step.ANSWER

    model: str
    corpus: str
    start: int
    stop: int
    cells: tuple[str, ...]
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _name(self, self.model, self.corpus, f"{self.start:06d}", digest(self.cells)[:8])

    @property
    def rows(self) -> slice:
        """Of the cell axis."""
        return slice(self.start, self.stop)


Unit = EncodeUnit | IdentifyUnit | SelectUnit | AnswerUnit


def _name(unit: Unit, *parts: str) -> None:
    """Set the id of a unit. It is computed once, since many places read it."""
    object.__setattr__(unit, "id", "-".join((unit.step, *parts)))


def evaluation_blocks(utterances: int) -> range:
    """Numbers of the encode blocks of an evaluation set."""
    return range(ceil(utterances / ENCODE_BLOCK))


def cells_per_block(utterances: int) -> int:
    """Cells in a block of answers: a unit has about two thousand answers, whatever the size of the evaluation set."""
    return min(64, max(1, round(ANSWERS_PER_BLOCK / utterances)))


@dataclass(frozen=True)
class EmotionPool:
    """Numbers of one emotion's candidates: those there are, those visited, and those answered correctly."""

    available: int
    visited: int = 0
    correct: int = 0


def next_identification_round(pools: Mapping[str, EmotionPool], cap: int) -> dict[str, range]:
    """Candidates (by position within their emotion) that the next round visits; empty when identification is over.

    Each emotion below `cap` gets as many whole shards as should be enough at its accuracy so far. The round depends on
    finished rounds alone, so that any number of workers visits the same candidates.
    """
    rounds = {}
    for emotion, pool in pools.items():
        if pool.correct >= cap or pool.visited >= pool.available:
            continue
        accuracy = max(pool.correct / pool.visited, 0.1) if pool.visited else 1.0
        wanted = ceil((cap - pool.correct) / accuracy / SHARD_ROWS) * SHARD_ROWS
        rounds[emotion] = range(pool.visited, min(pool.available, pool.visited + wanted))
    return rounds


def identify_units(model: str, corpus: str, shards: Sequence[int]) -> list[IdentifyUnit]:
    """The shards of a round, distributed over units."""
    return [IdentifyUnit(model, corpus, block) for block in _blocks(shards, SHARDS_PER_UNIT)]


def _blocks(items: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])

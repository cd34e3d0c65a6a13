"""Terms that every package shares, each defined once: parts of a sequence, outcomes of an answer, sizes of the store.

Knows no package. The spelling of names and the numbers are those inside `data.zarr`, so they never change.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal


class Part(IntEnum):
    """The part of a sequence that a position belongs to; the value is its index on the store's `part` axis."""

    AUDIO = 0
    TEXT = 1
    GENERATED = 2


PARTS = tuple(part.name.lower() for part in Part)
"""Names of the parts as the store and the YAML spell them."""

PartName = Literal["audio", "text", "generated"]
"""One of `PARTS`, as a type."""

UNCOUNTED = -1
"""In place of a `Part`: special tokens such as template markers, which no count covers."""


class Outcome(IntEnum):
    """What became of one question, as coded in the store. Only ANSWERED and UNPARSED tell something about the model."""

    NOT_WRITTEN = 0
    ANSWERED = 1
    UNPARSED = 2
    UNREADABLE = 3
    NON_FINITE = 4


OUTCOMES = tuple(outcome.name.lower() for outcome in Outcome)
"""Names of the outcomes as the store spells them."""

T_NOT_WRITTEN = 65535
"""Value of T (valid positions) of a row without counts. Zero is a legal value: no token was generated."""

SHARD_ROWS = 32
"""Utterances in one shard of counts: the smallest range of rows that an identification unit may write."""

JOIN = "+"
"""Joins names that act together: emotions of one mask, corpora of one identification. No name contains it."""

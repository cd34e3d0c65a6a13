"""The tables that name the rows of every array: utterances, cells, masks, and exclusions.

A table is a frozen set of equally long columns; a row without an id is a pad row. Knows no Zarr and no disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

from esn_dist.terms import SHARD_ROWS

ColumnType = Literal["text", "code", "int", "float", "options"]
PAD: Mapping[ColumnType, Any] = {"text": "", "code": "", "int": -1, "float": math.nan, "options": ()}


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length on the dimension `dim`; `columns` maps each name to how it is stored.

    A store that was made before one of the columns `added` has no such array: the reader shows pads, and the array is
    made when the table grows. A column that is `optional` too is made only when a row has a value in it.
    """

    dim: ClassVar[str]
    columns: ClassVar[Mapping[str, ColumnType]]
    added: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[frozenset[str]] = frozenset()

    id: tuple[str, ...]

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self.columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of one table differ in length: {lengths}")
        named = [name for name in self.id if name]
        if len(set(named)) < len(named):
            twice = sorted({name for name in named if named.count(name) > 1})
            raise ValueError(f"ids that occur twice: {', '.join(twice[:5])}")

    def __len__(self) -> int:
        return len(self.id)

    def record(self, position: int) -> dict[str, Any]:
        """One row by column name, in the order of `columns`."""
        return {name: getattr(self, name)[position] for name in self.columns}

    def row(self, position: int) -> tuple[Any, ...]:
        """One row, in the order of `columns`."""
        return tuple(self.record(position).values())

    def unused(self) -> frozenset[str]:
        """The optional columns in which no row has a value."""
        return frozenset(name for name in self.optional if not any(getattr(self, name)))

    def row_by_id(self) -> dict[str, int]:
        """Position of every id; pad rows have none."""
        return {name: position for position, name in enumerate(self.id) if name}

    def take(self, positions: Iterable[int | None]) -> Self:
        """The rows at `positions`; None gives a pad row."""
        positions = tuple(positions)
        columns = {name: (getattr(self, name), PAD[kind]) for name, kind in self.columns.items()}
        return type(self)(
            **{
                name: tuple(pad if p is None else values[p] for p in positions)
                for name, (values, pad) in columns.items()
            }
        )

    def concat(self, other: Self) -> Self:
        """This table's rows, then `other`'s."""
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in self.columns})

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> Self:
        """A table of `records`, each a row by column name; an optional column may be left out.

        Raises `ValueError` where a column of a record is missing or unknown.
        """
        optional = {name: PAD[cls.columns[name]] for name in cls.optional}
        records = tuple({**optional, **record} if optional else record for record in records)
        for record in records:
            if record.keys() != cls.columns.keys():
                unfit = sorted(record.keys() ^ cls.columns.keys())
                raise ValueError(f"a record of {cls.__name__} must name exactly its columns; unfit: {', '.join(unfit)}")
        return cls(**{name: tuple(record[name] for record in records) for name in cls.columns})

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[Any, ...]]) -> Self:
        """A table of `rows`, each in the order of `columns`, or of those that are not optional."""
        required = [name for name in cls.columns if name not in cls.optional]
        if rows and len(rows[0]) == len(cls.columns):
            required = list(cls.columns)
        return cls.from_records([dict(zip(required, row, strict=True)) for row in rows])

    @classmethod
    def empty(cls) -> Self:
        """A table without rows."""
        return cls.from_rows(())


AnyTable = TypeVar("AnyTable", bound=Table)


@dataclass(frozen=True, slots=True)
class LabelTable(Table):
    """The columns of utterances that a model's arrays repeat; `option_number` numbers each emotion in the prompt."""

    dim: ClassVar[str] = "utterance"
    columns: ClassVar[Mapping[str, ColumnType]] = {
        "id": "text",
        "speaker": "text",
        "label": "code",
        "option_number": "options",
    }

    speaker: tuple[str, ...]
    label: tuple[str, ...]
    option_number: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class UtteranceTable(LabelTable):
    """Utterances of one set: `samples` counts audio samples, `sha256` is the hex digest of the audio's content."""

    columns: ClassVar[Mapping[str, ColumnType]] = {
        **LabelTable.columns,
        "split": "code",
        "path": "text",
        "samples": "int",
        "sha256": "text",
    }

    split: tuple[str, ...]
    path: tuple[str, ...]
    samples: tuple[int, ...]
    sha256: tuple[str, ...]

    def labels(self) -> LabelTable:
        """The columns that arrays of one model repeat."""
        return LabelTable(self.id, self.speaker, self.label, self.option_number)


@dataclass(frozen=True, slots=True)
class ExclusionTable(Table):
    """Utterances that the scan excluded from every set, each with its reason (a code) and detail (free text)."""

    dim: ClassVar[str] = "utterance"
    columns: ClassVar[Mapping[str, ColumnType]] = {"id": "text", "label": "code", "reason": "code", "detail": "text"}

    label: tuple[str, ...]
    reason: tuple[str, ...]
    detail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellMaskTable(Table):
    """The columns of `CellTable` that are needed before cells can be answered; faster for a million cells."""

    dim: ClassVar[str] = "cell"
    columns: ClassVar[Mapping[str, ColumnType]] = {"id": "text", "intervention": "code", "mask": "text"}

    intervention: tuple[str, ...]
    mask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellTable(Table):
    """Cells of one model on one evaluation corpus; `mask` is the id of a mask of that model.

    Baseline: selector "", fraction nan, mask_seed -1, mask "", alpha 0. `source_emotion` joins two by "+" in the co-
    types, and is "" where a cell commits to none (RND, mix, union). `tau` is mix's; nan elsewhere. `parameters` is
    canonical JSON of the parameters without a column of their own. `provider` identifies the package of a type that
    is not of this package.
    """

    dim: ClassVar[str] = "cell"
    columns: ClassVar[Mapping[str, ColumnType]] = {
        "id": "text",
        "intervention": "code",
        "selector": "code",
        "source_corpus": "code",
        "source_emotion": "code",
        "fraction": "float",
        "mask_seed": "int",
        "mask": "text",
        "alpha": "float",
        "tau": "float",
        "parameters": "text",
        "provider": "code",
    }
    added: ClassVar[frozenset[str]] = frozenset({"tau", "parameters", "provider"})
    optional: ClassVar[frozenset[str]] = frozenset({"parameters", "provider"})

    intervention: tuple[str, ...]
    selector: tuple[str, ...]
    source_corpus: tuple[str, ...]
    source_emotion: tuple[str, ...]
    fraction: tuple[float, ...]
    mask_seed: tuple[int, ...]
    mask: tuple[str, ...]
    alpha: tuple[float, ...]
    tau: tuple[float, ...]
    parameters: tuple[str, ...]
    provider: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaskTable(Table):
    """ESN masks of one model; `budget` is the number of neurons that the fraction allows.

    `source_emotion` and `source_corpus` join several by "+": the union of these emotions' masks, from counts pooled
    over these corpora. `identification_size` is the requested number of utterances per emotion (0: as many as all
    emotions have); `parts` are the positions whose counts are summed, joined by "+". `provider`
    identifies the package of a selector that is not of this package.
    """

    dim: ClassVar[str] = "mask"
    columns: ClassVar[Mapping[str, ColumnType]] = {
        "id": "text",
        "selector": "code",
        "source_corpus": "code",
        "source_emotion": "code",
        "fraction": "float",
        "mask_seed": "int",
        "identification_size": "int",
        "parts": "code",
        "budget": "int",
        "provider": "code",
    }
    added: ClassVar[frozenset[str]] = frozenset({"provider"})
    optional: ClassVar[frozenset[str]] = frozenset({"provider"})

    selector: tuple[str, ...]
    source_corpus: tuple[str, ...]
    source_emotion: tuple[str, ...]
    fraction: tuple[float, ...]
    mask_seed: tuple[int, ...]
    identification_size: tuple[int, ...]
    parts: tuple[str, ...]
    budget: tuple[int, ...]
    provider: tuple[str, ...]


def in_whole_shards(table: UtteranceTable, emotions: Sequence[str]) -> UtteranceTable:
    """`table` emotion-major, in its own order inside each emotion, every emotion padded to whole shards of counts."""
    positions: list[int | None] = []
    for emotion in emotions:
        rows = [position for position, label in enumerate(table.label) if label == emotion]
        positions += [*rows, *[None] * (-len(rows) % SHARD_ROWS)]
    return table.take(positions)


def table_differences(stored: Table, given: Table) -> list[str]:
    """What differs row by row, pad rows included; only ids where these differ. Empty where the tables are equal."""
    if stored.id != given.id:
        only_stored, only_given = sorted(set(stored.id) - set(given.id)), sorted(set(given.id) - set(stored.id))
        if not only_stored and not only_given:
            return ["order"]
        return [f"{len(only_stored)} ids only stored {only_stored[:3]}, {len(only_given)} only given {only_given[:3]}"]
    return [
        f"{given.dim} {name!r}: {line}"
        for position, name in enumerate(given.id)
        for line in row_differences(stored, position, given, position)
    ]


def row_differences(stored: Table, stored_row: int, given: Table, given_row: int) -> list[str]:
    """What differs between two rows, nan being equal to nan."""
    old, new = stored.record(stored_row), given.record(given_row)
    return [f"{name} {old[name]!r} stored, {new[name]!r} given" for name in old if not _same(old[name], new[name])]


def _same(old: object, new: object) -> bool:
    return old == new or (old != old and new != new)

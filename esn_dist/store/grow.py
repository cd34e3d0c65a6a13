"""Growing without rewriting: new rows start a new block, and a kill at any moment leaves a store that reads and grows.

Order: categories, lengths, columns, ids. A row is there when its id is; blocks without ids are free and are used by
the next growth. Finished chunks of data are never touched. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import TypeVar

import zarr

from esn_dist.errors import UserError
from esn_dist.store.columns import (
    categories_of,
    create_missing_columns,
    missing_columns,
    new_categories,
    read_columns,
    write_columns,
)
from esn_dist.store.disk import files_under, sync, sync_files
from esn_dist.store.folder import StoreFolder
from esn_dist.store.schema import Array, array_name, dims_of, open_array
from esn_dist.store.tables import Table, row_differences

AnyTable = TypeVar("AnyTable", bound=Table)


def grow(folder: StoreFolder, group: str, wanted: AnyTable, block: int) -> AnyTable:
    """Append the rows of `wanted` whose ids are new, from the next free block on; returns the rows as stored.

    Raises `UserError` where an id is stored with another content.
    """
    path = folder.data / group
    _add_missing_columns(folder, path, wanted)
    stored = read_columns(path, type(wanted))
    _refuse_changed_rows(folder, group, stored, wanted)
    known = stored.named()
    new = [position for name, position in wanted.named().items() if name not in known]
    start = -(-(max(known.values(), default=-1) + 1) // block) * block
    rows = max(start + -(-len(new) // block) * block, _longest(path, wanted.dim)) if new else _longest(path, wanted.dim)
    kept: list[int | None] = list(range(start))
    placed = stored.take(kept).followed_by(wanted.take([*new, *[None] * (rows - start - len(new))]))
    _extend_categories(path, wanted)
    _lengthen(path, wanted.dim, rows)
    touched = write_columns(path, placed, slice(start, start + len(new)))
    sync_files((file for column in touched for file in files_under(column)), path)
    return placed


def _refuse_changed_rows(folder: StoreFolder, group: str, stored: AnyTable, wanted: AnyTable) -> None:
    known = stored.named()
    for name, position in wanted.named().items():
        if name in known and (changed := row_differences(stored, known[name], wanted, position)):
            raise UserError(
                f"{wanted.dim} {name!r} means something else in this store: {'; '.join(changed)}",
                where=f"{folder.root} ({group})",
                expected="ids that keep their meaning",
                fix="start a new store with another --store folder",
            )


def _add_missing_columns(folder: StoreFolder, path: Path, wanted: Table) -> None:
    """Columns that are not in the store yet, staged and renamed into place at the length of the others."""
    table = type(wanted)
    for name in sorted(set(missing_columns(path, table)) - wanted.unused()):
        staged = folder.staging / uuid.uuid4().hex
        rows = _longest(path, table.dim)
        create_missing_columns(zarr.create_group(staged, zarr_format=3), table, [name], rows)
        sync_files(files_under(staged), staged)
        os.rename(staged / array_name(table, name), path / array_name(table, name))
        sync(path)
        shutil.rmtree(staged)


def _longest(path: Path, dim: str) -> int:
    return max(array.shape[0] for array in _arrays_on(path, dim).values())


def _lengthen(path: Path, dim: str, rows: int) -> None:
    for place, array in _arrays_on(path, dim).items():
        if array.shape[0] < rows:
            array.resize((rows, *array.shape[1:]))
            sync_files([place / "zarr.json"], path)


def _arrays_on(path: Path, dim: str) -> dict[Path, Array]:
    """The arrays whose first dimension is `dim`."""
    arrays = {found.parent: open_array(found.parent, "r+") for found in sorted(path.glob("*/zarr.json"))}
    return {place: array for place, array in arrays.items() if dims_of(array)[0] == dim}


def _extend_categories(path: Path, wanted: Table) -> None:
    for name, kind in wanted.columns.items():
        if kind == "code" and name not in missing_columns(path, type(wanted)):
            array = open_array(path / array_name(type(wanted), name), "r+")
            words = new_categories(categories_of(array), getattr(wanted, name))
            if words != categories_of(array):
                array.attrs["categories"] = list(words)

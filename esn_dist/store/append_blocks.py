"""Appending blocks of rows without rewriting: a kill at any moment leaves a store that can be read and grown.

The order is categories, lengths, columns, ids. A row exists once its id does. Blocks without ids are free, and the next
growth uses them. Finished chunks of data are never touched. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import zarr

from esn_dist.errors import UserError
from esn_dist.store.columns import (
    create_missing_columns,
    extended_categories,
    missing_columns,
    read_columns,
    write_columns,
)
from esn_dist.store.folder import StoreFolder, data_key
from esn_dist.store.schema import array_name
from esn_dist.store.tables import AnyTable, Table, row_differences
from esn_dist.store.zarr_nodes import Array, categories_of, children, dims_of, has_node, open_array


def append_blocks(folder: StoreFolder, group: str, requested: AnyTable, block: int) -> AnyTable:
    """Append the rows of `requested` whose ids are new, from the next free block on. Returns: all rows as stored.

    Raises `UserError` where an id is stored with another content.
    """
    _add_missing_columns(folder, group, requested)
    stored = read_columns(folder, group, type(requested))
    _refuse_changed_rows(folder, group, stored, requested)
    known = stored.row_by_id()
    new = [position for name, position in requested.row_by_id().items() if name not in known]
    # 1. New rows start at the first block without ids; the axis grows by whole blocks and never shrinks.
    start = _rounded_up(max(known.values(), default=-1) + 1, block)
    longest = _longest(folder, group, requested.dim)
    rows = max(start + _rounded_up(len(new), block), longest) if new else longest
    # 2. All rows: those before `start`, the new ones, pad rows.
    before: list[int | None] = list(range(start))
    all_rows = stored.take(before).concat(requested.take([*new, *[None] * (rows - start - len(new))]))
    # 3. Categories, lengths, columns, ids; then all of it is made durable.
    _extend_categories(folder, group, requested)
    _lengthen(folder, group, requested.dim, rows)
    written = write_columns(folder, group, all_rows, slice(start, start + len(new)))
    keys = (key for path in written for key in folder.backend.keys_below(data_key(path)))
    folder.backend.sync(keys, within=data_key(group))
    return all_rows


def _rounded_up(rows: int, block: int) -> int:
    return -(-rows // block) * block


def _refuse_changed_rows(folder: StoreFolder, group: str, stored: AnyTable, requested: AnyTable) -> None:
    known = stored.row_by_id()
    for name, position in requested.row_by_id().items():
        if name in known and (changed := row_differences(stored, known[name], requested, position)):
            raise UserError(
                f"{requested.dim} {name!r} means something else in this store: {'; '.join(changed)}",
                where=f"{folder.root} ({group})",
                expected="ids that keep their meaning",
                fix="start a new store with another --store folder",
            )


def _add_missing_columns(folder: StoreFolder, group: str, requested: Table) -> None:
    """Make the columns that the store does not have yet, staged at the length of the others, then published."""
    table = type(requested)
    for name in sorted(set(missing_columns(folder, group, table)) - requested.unused()):
        staged = folder.new_staging_key()
        rows = _longest(folder, group, table.dim)
        store = folder.backend.zarr_store(staged, writable=True)
        create_missing_columns(zarr.create_group(store, zarr_format=3), table, [name], rows)
        array = array_name(table, name)
        folder.backend.publish(f"{staged}/{array}", data_key(f"{group}/{array}"))
        folder.backend.delete_below(staged)


def _longest(folder: StoreFolder, group: str, dim: str) -> int:
    return max(array.shape[0] for array in _arrays_on(folder, group, dim).values())


def _lengthen(folder: StoreFolder, group: str, dim: str, rows: int) -> None:
    for name, array in _arrays_on(folder, group, dim).items():
        if array.shape[0] < rows:
            array.resize((rows, *array.shape[1:]))
            folder.backend.sync([data_key(f"{group}/{name}/zarr.json")], within=data_key(group))


def _arrays_on(folder: StoreFolder, group: str, dim: str) -> dict[str, Array]:
    """The arrays of `group` whose first dimension is `dim`."""
    names = (name for name in children(folder, group) if has_node(folder, f"{group}/{name}"))
    arrays = {name: open_array(folder, f"{group}/{name}", "r+") for name in names}
    return {name: array for name, array in arrays.items() if dims_of(array)[0] == dim}


def _extend_categories(folder: StoreFolder, group: str, requested: Table) -> None:
    missing = missing_columns(folder, group, type(requested))
    for name, kind in requested.columns.items():
        if kind == "code" and name not in missing:
            array = open_array(folder, f"{group}/{array_name(type(requested), name)}", "r+")
            words = extended_categories(categories_of(array), getattr(requested, name))
            if words != categories_of(array):
                array.attrs["categories"] = list(words)

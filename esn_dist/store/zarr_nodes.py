"""Groups and arrays of `data.zarr`, opened through the store's backend; paths are relative to `data.zarr`.

Knows nothing of what a node holds.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import zarr
from zarr.core.array_spec import ArrayConfigParams
from zarr.core.metadata import ArrayV3Metadata

from esn_dist.errors import UserError, did_you_mean
from esn_dist.store.folder import DATA, StoreFolder, data_key

Array: TypeAlias = zarr.Array[ArrayV3Metadata]

# Zarr writes no file for a chunk that equals the fill value, unless it is told to: presence would depend on the values.
EVERY_CHUNK_IS_A_FILE: ArrayConfigParams = {"write_empty_chunks": True}


def open_array(folder: StoreFolder, path: str, mode: Literal["r", "r+"] = "r") -> Array:
    """The array at `path`. zarr 3.1.6 ignores `config=` when it opens an existing array, hence `with_config`."""
    store = folder.backend.zarr_store(DATA, writable=mode == "r+")
    array = cast("Array", zarr.open_array(store=store, path=path, mode=mode, zarr_format=3))
    return array.with_config(EVERY_CHUNK_IS_A_FILE)


def read_attributes(folder: StoreFolder, path: str) -> dict[str, Any]:
    """The attributes of the group at `path`; "" is the root."""
    return zarr.open_group(folder.backend.zarr_store(DATA), path=path, mode="r").attrs.asdict()


def has_node(folder: StoreFolder, path: str) -> bool:
    """Whether `path` is a group or an array."""
    return folder.backend.exists(f"{data_key(path)}/zarr.json")


def require_group(folder: StoreFolder, path: str) -> str:
    """`path`, which must be a group. Raises `UserError` about the first part of it that is missing."""
    folder.require()
    parent = ""
    for name in path.split("/"):
        node = f"{parent}/{name}".lstrip("/")
        if not has_node(folder, node):
            names = children(folder, parent)
            raise UserError(
                f"there is no {name!r} in {parent or 'this store'}.{did_you_mean(name, names)}",
                where=str(folder.root),
                expected=f"one of {', '.join(names)}" if names else "something, but nothing has been written yet",
            )
        parent = node
    return path


def is_array(folder: StoreFolder, path: str) -> bool:
    """Whether the node at `path` is an array, not a group."""
    return isinstance(zarr.open(folder.backend.zarr_store(DATA), path=path, mode="r"), zarr.Array)


def children(folder: StoreFolder, path: str) -> list[str]:
    """Names of the groups and arrays directly below the group at `path`, sorted."""
    return folder.backend.children(data_key(path))


def dims_of(array: Array) -> tuple[str, ...]:
    """Names of the array's dimensions; every dimension of a store has one."""
    return tuple(map(str, cast("ArrayV3Metadata", array.metadata).dimension_names or ()))


def categories_of(array: Array) -> tuple[str, ...]:
    """The words of an array's codes."""
    return tuple(str(word) for word in array.attrs["categories"])  # type: ignore[union-attr]


def chunk_key(array: Array, position: tuple[int, ...]) -> str:
    """Name of the file that holds the chunk (or the shard) at `position`, relative to the array."""
    return str(array.metadata.encode_chunk_key(position))

"""All arrays of a store: dimensions, types, chunks, fill values and codecs.

Types are those that tensorstore and zarrita.js read too. Knows nothing of who writes or reads the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, cast

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from esn_dist.store.tables import CellTable, ColumnType, MaskTable, Table
from esn_dist.store.zarr_nodes import EVERY_CHUNK_IS_A_FILE, Array
from esn_dist.terms import OUTCOMES, PARTS, SHARD_ROWS, T_NOT_WRITTEN

STORE_VERSION = 1
VERSION_ATTRIBUTE = "esn_dist_store"
TEXT_WIDTH = 160
SIZE_NOT_WRITTEN = -1

# Bytes of an id in tables that grow; a longer id is refused.
GROWING_ID_WIDTH = 128
# Rows per chunk of the columns of a growing table. Few files let a large store open fast.
COORDINATE_ROWS = 1024


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array, before it exists."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    fill: float
    shards: tuple[int, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def create(self, group: zarr.Group) -> Array:
        """Make the array inside `group`; every chunk carries a crc32c."""
        typesize = np.dtype(self.dtype).itemsize
        blosc = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=typesize)
        created = group.create_array(
            self.name,
            shape=self.shape,
            chunks=tuple(max(1, size) for size in self.chunks),
            shards=self.shards,
            dtype=self.dtype,
            fill_value=self.fill,
            compressors=[blosc if self.shards else ZstdCodec(level=1), Crc32cCodec()],
            dimension_names=self.dims,
            chunk_key_encoding={"name": "default", "separator": "."},
            attributes=dict(self.attributes),
        )
        return cast("Array", created).with_config(EVERY_CHUNK_IS_A_FILE)


def count_arrays(
    rows: int, layers: int, width: int, emotions: Sequence[str], experts: int = 0
) -> tuple[ArraySpec, ...]:
    """K[utterance, part, layer, neuron] in shards, T[utterance, part], and the answers of the unintervened model.

    K_correct[shard, part, layer, neuron] sums K over each shard's correctly answered utterances. A model with experts
    has T_expert[utterance, part, layer, expert] too.

    Everything but K has chunks of one shard's rows, so that a unit of whole shards writes whole chunks.
    """
    parts = len(PARTS)
    inner = next(size for size in (4, 3, 2, 1) if layers % size == 0)
    k = ArraySpec(
        "K",
        ("utterance", "part", "layer", "neuron"),
        (rows, parts, layers, width),
        (8, 1, inner, width),
        "uint16",
        0,
        shards=(SHARD_ROWS, parts, layers, width),
        attributes={"parts": PARTS},
    )
    sums = ArraySpec(
        "K_correct", ("shard", "part", "layer", "neuron"), (-(-rows // SHARD_ROWS), parts, layers, width),
        (1, 1, inner, width), "uint32", 0, (1, parts, layers, width), {"parts": PARTS},
    )  # fmt: skip
    t_attributes = {"parts": PARTS, "not_written": T_NOT_WRITTEN}
    t = ArraySpec(
        "T", ("utterance", "part"), (rows, parts), (SHARD_ROWS, parts), "uint16", T_NOT_WRITTEN, None, t_attributes
    )
    responses = _response_arrays(("utterance",), (rows,), (SHARD_ROWS,), emotions)
    return (k, sums, *([_expert_positions(rows, layers, experts)] if experts else []), *responses, t)


def _expert_positions(rows: int, layers: int, experts: int) -> ArraySpec:
    inner = (len(PARTS), layers, experts)
    return ArraySpec(
        "T_expert", ("utterance", "part", "layer", "expert"), (rows, *inner), (SHARD_ROWS, *inner), "uint16",
        T_NOT_WRITTEN, None, {"parts": PARTS, "not_written": T_NOT_WRITTEN},
    )  # fmt: skip


def answer_arrays(block: int, utterances: int, emotions: Sequence[str]) -> tuple[ArraySpec, ...]:
    """Answers of the model, `[cell, utterance, …]`, without cells; a chunk is a block of cells × all utterances."""
    return _response_arrays(("cell", "utterance"), (0, utterances), (block, utterances), emotions)


def mask_arrays(layers: int, width: int) -> tuple[ArraySpec, ...]:
    """member[mask, layer, neuron], size[mask], identified[mask], without masks; a chunk is one mask."""
    dims = ("mask", "layer", "neuron")
    return (
        ArraySpec("member", dims, (0, layers, width), (1, layers, width), "bool", 0),
        ArraySpec("identified", ("mask",), (0,), (1,), "int32", -1),
        ArraySpec("size", ("mask",), (0,), (1,), "int32", SIZE_NOT_WRITTEN),
    )


def column_arrays(
    table: type[Table], rows: int, widths: Mapping[str, int], categories: Mapping[str, Sequence[str]], options: int
) -> tuple[ArraySpec, ...]:
    """The arrays of a table's columns: `widths` of texts, `categories` of codes, `options` numbers per utterance."""
    chunk = COORDINATE_ROWS if table in (CellTable, MaskTable) else rows
    specs = []
    for name, kind in table.columns.items():
        dtype, fill = _COLUMN_TYPES[kind]
        inner = {"text": ((f"{name}_byte", widths.get(name, 1)),), "options": (("emotion", options),)}.get(kind, ())
        if name == "id":
            inner = ((f"{table.dim}_id_byte", widths["id"]),)
        dims, shape = (table.dim, *(dim for dim, _ in inner)), tuple(size for _, size in inner)
        attributes = {"categories": list(categories[name])} if kind == "code" else {}
        specs.append(
            ArraySpec(
                array_name(table, name), dims, (rows, *shape), (chunk, *shape), dtype, fill, attributes=attributes
            )
        )
    return tuple(specs)


def array_name(table: type[Table], column: str) -> str:
    """Name in the store of a table's column: the id of dimension `cell` is `cell_id`."""
    return f"{table.dim}_id" if column == "id" else column


_COLUMN_TYPES: Mapping[ColumnType, tuple[str, float]] = {
    "text": ("uint8", 0),
    "code": ("int8", -1),
    "int": ("int32", -1),
    "float": ("float64", nan),
    "options": ("uint8", 0),
}


def _response_arrays(
    dims: tuple[str, ...], shape: tuple[int, ...], chunks: tuple[int, ...], emotions: Sequence[str]
) -> tuple[ArraySpec, ...]:
    """In the order of writing: `outcome` comes last, so that every answer that it reports is written."""
    options = len(emotions)

    def array(name: str, dtype: str, fill: float, *inner: tuple[str, int], **attributes: Any) -> ArraySpec:
        names, sizes = tuple(dim for dim, _ in inner), tuple(size for _, size in inner)
        return ArraySpec(name, (*dims, *names), (*shape, *sizes), (*chunks, *sizes), dtype, fill, attributes=attributes)

    return (
        array("logprob", "float32", nan, ("emotion", options), categories=list(emotions)),
        array("text", "uint8", 0, ("text_byte", TEXT_WIDTH)),
        array("truncated", "bool", 0),
        array("answer", "int8", -1, categories=list(emotions)),
        array("outcome", "uint8", 0, categories=list(OUTCOMES)),
    )

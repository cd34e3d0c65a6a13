"""Creating groups, which only the driver does: they appear whole, at full shape, and never change their meaning.

Every function may be called again. With the same content it does nothing; with other content it raises a `UserError`
that shows the difference. Only `add_masks` and `add_answers` grow. Knows nothing of plans.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zarr

from esn_dist.errors import UserError
from esn_dist.store.append_blocks import append_blocks
from esn_dist.store.columns import create_columns, create_growing_columns, extended_categories, read_columns
from esn_dist.store.folder import (
    StoreFolder,
    answers_group,
    corpus_group,
    counts_group,
    data_key,
    masks_group,
    model_group,
)
from esn_dist.store.schema import STORE_VERSION, VERSION_ATTRIBUTE, answer_arrays, count_arrays, mask_arrays
from esn_dist.store.tables import (
    CellTable,
    ExclusionTable,
    LabelTable,
    MaskTable,
    Table,
    UtteranceTable,
    table_differences,
)
from esn_dist.store.zarr_nodes import has_node, open_array, read_attributes
from esn_dist.terms import SHARD_ROWS

Attributes = Mapping[str, Any]


def create_root(folder: StoreFolder, attributes: Attributes) -> None:
    """Make the store. `attributes` identify the whole sweep: name, seed, question."""
    _add_group(folder, "", {VERSION_ATTRIBUTE: STORE_VERSION, **attributes}, lambda group: None)


def add_corpus(
    folder: StoreFolder,
    corpus: str,
    emotions: Sequence[str],
    evaluation: UtteranceTable,
    identification: UtteranceTable,
    exclusions: ExclusionTable,
    attributes: Attributes,
) -> None:
    """Add a corpus as it was scanned. Emotion codes are positions in `emotions`.

    `identification` is emotion-major in whole shards (`tables.in_whole_shards`).
    """
    _require_whole_shards(identification)
    tables: dict[str, Table] = {"evaluation": evaluation, "identification": identification, "set_aside": exclusions}

    def build(group: zarr.Group) -> None:
        for name, table in tables.items():
            child = group.create_group(name, attributes=_group_attributes(table, emotions))
            # Exclusions may have labels that are not studied; the emotions keep their codes.
            labels = extended_categories(emotions, exclusions.label) if table is exclusions else emotions
            create_columns(child, table, {"label": labels}, len(emotions))

    path = corpus_group(corpus)
    if _add_group(folder, path, {"emotions": list(emotions), **attributes}, build):
        return
    for name, table in tables.items():
        stored = read_columns(folder, f"{path}/{name}", type(table))
        _refuse(folder, f"{path}/{name}", table_differences(stored, table))


def add_model(
    folder: StoreFolder, model: str, layers: int, width: int, attributes: Attributes, experts: int = 0
) -> None:
    """Add a model of `layers` gated MLPs of `width` neurons; `attributes` as given (weights' fingerprint, profile…).

    `experts` is the number of them that share the width; a model without any has no such attribute.
    """

    def build(group: zarr.Group) -> None:
        masks = group.create_group("masks", attributes=_coordinates(MaskTable))
        for spec in mask_arrays(layers, width):
            spec.create(masks)
        create_growing_columns(masks, MaskTable)

    sizes = {"layers": layers, "width": width, **({"experts": experts} if experts else {})}
    _add_group(folder, model_group(model), {**sizes, **attributes}, build)


def add_counts(folder: StoreFolder, model: str, corpus: str) -> None:
    """Add the unwritten counts of `model` on the identification set of `corpus`; both were added before."""
    labels, emotions = _utterances(folder, corpus, "identification")
    sizes = read_attributes(folder, model_group(model))

    def build(group: zarr.Group) -> None:
        for spec in count_arrays(len(labels), sizes["layers"], sizes["width"], emotions, sizes.get("experts", 0)):
            spec.create(group)
        create_columns(group, labels, {"label": emotions}, len(emotions))

    _add_group(folder, counts_group(model, corpus), _group_attributes(labels, emotions), build)


def add_masks(folder: StoreFolder, model: str, masks: MaskTable) -> MaskTable:
    """Append rows for those of `masks` that are new. Returns: all rows (row = position, pad rows included)."""
    return append_blocks(folder, masks_group(model), masks, block=1)


def add_answers(folder: StoreFolder, model: str, corpus: str, cells: CellTable, block: int) -> CellTable:
    """Append rows for those of `cells` that are new, in new blocks of `block` cells.

    Returns: all rows. Block b holds rows b·block to (b+1)·block, pad rows included. Stored cells stay where they are.
    """
    labels, emotions = _utterances(folder, corpus, "evaluation")
    path = answers_group(model, corpus)

    def build(group: zarr.Group) -> None:
        for spec in answer_arrays(block, len(labels), emotions):
            spec.create(group)
        create_columns(group, labels, {"label": emotions}, len(emotions))
        create_growing_columns(group, CellTable)

    attributes = _group_attributes(labels, emotions)
    attributes["coordinates"] += " " + _coordinates(CellTable)["coordinates"]
    _add_group(folder, path, attributes, build)
    stored_block = open_array(folder, f"{path}/answer").chunks[0]
    _refuse(folder, path, [f"block {stored_block} stored, {block} given"] if stored_block != block else [])
    return append_blocks(folder, path, cells, block)


def _add_group(folder: StoreFolder, path: str, attributes: Attributes, build: Callable[[zarr.Group], None]) -> bool:
    """Build a staged group and publish it, so that no reader sees half of it. Returns: False where it was stored."""
    given = json.loads(json.dumps(attributes))
    if has_node(folder, path):
        _refuse(folder, path or "root attributes", _attribute_differences(read_attributes(folder, path), given))
        return False
    parent = path.rpartition("/")[0]
    if path and not has_node(folder, parent):
        _add_group(folder, parent, {}, lambda group: None)
    staged = folder.new_staging_key()
    store = folder.backend.zarr_store(staged, writable=True)
    build(zarr.create_group(store, zarr_format=3, attributes=given))
    folder.backend.publish(staged, data_key(path))
    return True


def _refuse(folder: StoreFolder, where: str, differences: Sequence[str]) -> None:
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(
            f"the given content differs from the stored content: {'; '.join(differences[:3])}{more}",
            where=f"{folder.root} ({where})",
            expected="the same content as when the store was made",
            fix="restore it, or start a new store with another --store folder",
        )


def _attribute_differences(stored: Attributes, given: Attributes) -> list[str]:
    names = sorted({*stored, *given})
    return [
        f"{name}: {stored.get(name)!r} stored, {given.get(name)!r} given"
        for name in names
        if stored.get(name) != given.get(name)
    ]


def _utterances(folder: StoreFolder, corpus: str, set_name: str) -> tuple[LabelTable, tuple[str, ...]]:
    table = read_columns(folder, f"{corpus_group(corpus)}/{set_name}", UtteranceTable)
    return table.labels(), tuple(read_attributes(folder, corpus_group(corpus))["emotions"])


def _group_attributes(table: Table, emotions: Sequence[str]) -> dict[str, Any]:
    return {"emotions": list(emotions), **_coordinates(type(table))}


def _coordinates(table: type[Table]) -> dict[str, Any]:
    """CF's attribute that names the coordinates for xarray. Attributes never change, so it omits added columns."""
    names = (f"{table.dim}_id" if name == "id" else name for name in table.columns if name not in table.added)
    return {"coordinates": " ".join(name for name in names if name != "option_number")}


def _require_whole_shards(table: UtteranceTable) -> None:
    shards = [set(table.label[start : start + SHARD_ROWS]) - {""} for start in range(0, len(table), SHARD_ROWS)]
    if len(table) % SHARD_ROWS or any(len(labels) > 1 for labels in shards):
        raise ValueError(f"an identification set must fill whole shards of {SHARD_ROWS}, each of one emotion")

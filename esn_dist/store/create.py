"""The driver's part: groups appear whole, at full shape, and never change what they already say.

Every function may be called again: with the same content it does nothing, with other content it raises `UserError`
that shows the difference. Only `add_masks` and `add_answers` grow. Knows nothing of plans: it is told rows and names.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr

from esn_dist.errors import UserError
from esn_dist.store.columns import create_columns, create_growing_columns, new_categories, read_columns
from esn_dist.store.disk import files_under, sync, sync_files
from esn_dist.store.folder import StoreFolder, answers_group, corpus_group, counts_group, masks_group, model_group
from esn_dist.store.grow import grow
from esn_dist.store.schema import VERSION, VERSION_ATTRIBUTE, answer_arrays, count_arrays, mask_arrays, open_array
from esn_dist.store.tables import (
    CellTable,
    ExclusionTable,
    LabelTable,
    MaskTable,
    Table,
    UtteranceTable,
    table_differences,
)
from esn_dist.terms import SHARD_ROWS

Attributes = Mapping[str, Any]


def create_root(folder: StoreFolder, attributes: Attributes) -> None:
    """Make the store. `attributes` is what the whole sweep stands on: name, seed, identity."""
    folder.prepare()
    _add_group(folder, "", {VERSION_ATTRIBUTE: VERSION, **attributes}, lambda group: None)


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
            labels = new_categories(emotions, exclusions.label) if table is exclusions else emotions
            create_columns(child, table, {"label": labels}, len(emotions))

    path = corpus_group(corpus)
    if _add_group(folder, path, {"emotions": list(emotions), **attributes}, build):
        return
    for name, table in tables.items():
        stored = read_columns(folder.data / path / name, type(table))
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
    sizes: dict[str, Any] = zarr.open_group(folder.data / model_group(model), mode="r").attrs.asdict()

    def build(group: zarr.Group) -> None:
        for spec in count_arrays(len(labels), sizes["layers"], sizes["width"], emotions, sizes.get("experts", 0)):
            spec.create(group)
        create_columns(group, labels, {"label": emotions}, len(emotions))

    _add_group(folder, counts_group(model, corpus), _group_attributes(labels, emotions), build)


def add_masks(folder: StoreFolder, model: str, masks: MaskTable) -> MaskTable:
    """Make room for those of `masks` that the store lacks; returns all rows (row = position, pad rows included)."""
    return grow(folder, masks_group(model), masks, block=1)


def add_answers(folder: StoreFolder, model: str, corpus: str, cells: CellTable, block: int) -> CellTable:
    """Make room for those of `cells` that the store lacks, in new blocks of `block` cells.

    Returns all rows: block b holds rows b·block to (b+1)·block, pad rows included. Stored cells stay where they are.
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
    stored_block = open_array(folder.data / path / "answer").chunks[0]
    _refuse(folder, path, [f"block {stored_block} stored, {block} given"] if stored_block != block else [])
    return grow(folder, path, cells, block)


def _add_group(folder: StoreFolder, path: str, attributes: Attributes, build: Callable[[zarr.Group], None]) -> bool:
    """Build a group aside and rename it into place, so that nobody ever sees half of it. False: it was there."""
    target = folder.data / path
    wanted = json.loads(json.dumps(attributes))
    if (target / "zarr.json").exists():
        stored = zarr.open_group(target, mode="r").attrs.asdict()
        _refuse(folder, path or "root attributes", _attribute_differences(stored, wanted))
        return False
    parent = path.rpartition("/")[0]
    if path and not (folder.data / parent / "zarr.json").exists():
        _add_group(folder, parent, {}, lambda group: None)
    staged = folder.staging / uuid.uuid4().hex
    build(zarr.create_group(staged, zarr_format=3, attributes=wanted))
    _publish(staged, target)
    return True


def _publish(staged: Path, target: Path) -> None:
    sync_files(files_under(staged), staged)
    os.rename(staged, target)
    sync(target.parent)


def _refuse(folder: StoreFolder, where: str, differences: Sequence[str]) -> None:
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(
            f"what is given differs from what the store stands on: {'; '.join(differences[:3])}{more}",
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
    group = zarr.open_group(folder.data / corpus_group(corpus), mode="r")
    table = read_columns(folder.data / corpus_group(corpus) / set_name, UtteranceTable)
    return table.labels(), tuple(group.attrs["emotions"])  # type: ignore[arg-type]


def _group_attributes(table: Table, emotions: Sequence[str]) -> dict[str, Any]:
    return {"emotions": list(emotions), **_coordinates(type(table))}


def _coordinates(table: type[Table]) -> dict[str, Any]:
    """CF's way to tell xarray which arrays are coordinates. Attributes never change, so added columns are not named."""
    names = (f"{table.dim}_id" if name == "id" else name for name in table.columns if name not in table.added)
    return {"coordinates": " ".join(name for name in names if name != "option_number")}


def _require_whole_shards(table: UtteranceTable) -> None:
    shards = [set(table.label[start : start + SHARD_ROWS]) - {""} for start in range(0, len(table), SHARD_ROWS)]
    if len(table) % SHARD_ROWS or any(len(labels) > 1 for labels in shards):
        raise ValueError(f"an identification set must fill whole shards of {SHARD_ROWS}, each of one emotion")

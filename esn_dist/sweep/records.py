"""Masks and cells as records of the store's tables, and back: the one place that knows which field is in which column.

A record names every value, so that a moved column changes nothing. Knows no arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isnan, nan
from typing import Any

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_masks
from esn_dist.store.tables import CellTable, MaskTable
from esn_dist.sweep.interventions import PARAMETER_COLUMNS, InterventionParameters
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.terms import JOIN

Record = Mapping[str, Any]
"""A row of a table by column name."""


def mask_record(mask: MaskKey, budget: int) -> Record:
    """The row of a mask; `budget` is the number of neurons that its fraction allows for one emotion."""
    return {
        "id": mask.id,
        "selector": mask.selector,
        "source_corpus": mask.corpus,
        "source_emotion": mask.emotion,
        "fraction": float(mask.fraction),
        "mask_seed": mask.seed,
        "identification_size": mask.size if isinstance(mask.size, int) else 0,
        "parts": JOIN.join(mask.parts),
        "budget": budget * len(mask.emotion_masks),
        "provider": mask.provider,
    }


def mask_of(model: str, record: Record) -> MaskKey:
    """The inverse of `mask_record`. The column has 0 for the size "auto", and for masks that use no counts."""
    parts = tuple(part for part in record["parts"].split(JOIN) if part)
    return MaskKey(
        model,
        record["selector"],
        Decimal(repr(record["fraction"])),
        record["source_corpus"],
        record["source_emotion"],
        record["mask_seed"],
        (record["identification_size"] or "auto") if parts else "",
        parts,
        record["provider"],
    )


def cell_record(cell: Cell) -> Record:
    """The row of a cell; the columns of its mask repeat the row of the mask."""
    mask = cell.mask
    return {
        "id": cell.id,
        "intervention": cell.intervention,
        "selector": mask.selector if mask else "",
        "source_corpus": mask.corpus if mask else "",
        "source_emotion": cell.source_emotion,
        "fraction": float(mask.fraction) if mask else nan,
        "mask_seed": mask.seed if mask else -1,
        "mask": mask.id if mask else "",
        "alpha": cell.alpha,
        **parameter_columns(cell.parameters),
        "provider": cell.provider,
    }


def cell_of(model: str, corpus: str, record: Record, masks: Mapping[str, MaskKey]) -> Cell:
    """The inverse of `cell_record`, with the masks of the model by id."""
    mask = masks[record["mask"]] if record["mask"] else None
    return Cell(
        model, corpus, mask, record["alpha"], record["intervention"], parameters_of(record), record["provider"]
    )  # fmt: skip


def parameter_columns(parameters: InterventionParameters) -> Record:
    """The columns that hold the parameters: those of `PARAMETER_COLUMNS`, and one text for all others."""
    values = dict(parameters.values)
    columns = {name: values.pop(name, nan) for name in PARAMETER_COLUMNS}
    return {**columns, "parameters": InterventionParameters.of(values).json}


def parameters_of(record: Record) -> InterventionParameters:
    """The inverse of `parameter_columns`; a column that is not in `record` holds nothing."""
    parameters = InterventionParameters.from_json(record.get("parameters", ""))
    columns = {name: float(record.get(name, nan)) for name in PARAMETER_COLUMNS}
    return parameters.with_values({name: value for name, value in columns.items() if not isnan(value)})


def mask_table(masks: Sequence[MaskKey], budget: Callable[[Decimal], int]) -> MaskTable:
    """One row per mask; `budget` gives the number of neurons of a fraction."""
    return MaskTable.from_records(mask_record(mask, budget(mask.fraction)) for mask in masks)


def cell_table(cells: Sequence[Cell]) -> CellTable:
    """One row per cell."""
    return CellTable.from_records(map(cell_record, cells))


def read_mask_keys(folder: StoreFolder, model: str) -> dict[str, MaskKey]:
    """Every mask of the store's table by id, those of older plans included."""
    table = read_masks(folder, model)
    return {id: mask_of(model, table.record(row)) for id, row in table.row_by_id().items()}

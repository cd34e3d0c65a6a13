"""Masks and cells as rows of the store's tables, and back: the one place that knows which field is in which column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_masks
from esn_dist.store.tables import CellTable, MaskTable
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.terms import JOIN

Size = int | str  # a number, "auto", or "" for a mask that rests on no corpus


def mask_keys(folder: StoreFolder, model: str) -> dict[str, MaskKey]:
    """Every mask of the store's table, those of older plans included, by id, as what it means."""
    table = read_masks(folder, model)
    keys = {}
    for id, row in table.named().items():
        size: Size = table.identification_size[row]
        keys[id] = MaskKey(
            model, table.selector[row], Decimal(repr(table.fraction[row])), table.source_corpus[row],
            table.source_emotion[row], table.mask_seed[row],
            size="" if not table.parts[row] else "auto" if size == 0 else size,
            parts=tuple(p for p in table.parts[row].split(JOIN) if p),
        )  # fmt: skip
    return keys


def mask_table(masks: Sequence[MaskKey], budget: Callable[[Decimal], int]) -> MaskTable:
    return MaskTable.from_rows(
        [
            (
                m.id, m.selector, m.corpus, m.emotion, float(m.fraction), m.seed,
                m.size if isinstance(m.size, int) else 0, JOIN.join(m.parts),
                budget(m.fraction) * len(m.single),
            )
            for m in masks
        ]
    )  # fmt: skip


def cell_table(cells: Sequence[Cell]) -> CellTable:
    return CellTable.from_rows([_cell_row(cell) for cell in cells])


def _cell_row(cell: Cell) -> tuple[Any, ...]:
    mask, nan = cell.mask, float("nan")
    if mask is None:
        return (cell.id, cell.intervention, "", "", "", nan, -1, "", cell.alpha, nan)
    return (
        cell.id, cell.intervention, mask.selector, mask.corpus, cell.source_emotion,
        float(mask.fraction), mask.seed, mask.id, cell.alpha, dict(cell.parameters.values).get("tau", nan),
    )  # fmt: skip

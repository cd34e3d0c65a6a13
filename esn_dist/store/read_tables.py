"""Stored tables, read whole: position = row of the arrays, pad rows included.

All functions raise `UserError` where the group is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError
from esn_dist.store.columns import read_columns
from esn_dist.store.folder import StoreFolder, answers_group, corpus_group, data_key, masks_group
from esn_dist.store.schema import SIZE_NOT_WRITTEN
from esn_dist.store.tables import CellMaskTable, CellTable, ExclusionTable, MaskTable, UtteranceTable
from esn_dist.store.zarr_nodes import open_array, require_group


def read_utterances(folder: StoreFolder, corpus: str, set_name: str) -> UtteranceTable:
    """The `evaluation` or `identification` set of a corpus."""
    return read_columns(folder, require_group(folder, f"{corpus_group(corpus)}/{set_name}"), UtteranceTable)


def read_exclusions(folder: StoreFolder, corpus: str) -> ExclusionTable:
    """The utterances that the scan excluded, with reasons."""
    return read_columns(folder, require_group(folder, f"{corpus_group(corpus)}/set_aside"), ExclusionTable)


def read_cells(folder: StoreFolder, model: str, corpus: str, rows: slice = slice(None)) -> CellTable:
    """The cells, or only `rows` of them.

    The whole table of a million cells takes seconds; a few neighbouring rows take milliseconds.
    """
    return read_columns(folder, require_group(folder, answers_group(model, corpus)), CellTable, rows)


def read_cell_masks(folder: StoreFolder, model: str, corpus: str) -> CellMaskTable:
    """The masks that cells need."""
    return read_columns(folder, require_group(folder, answers_group(model, corpus)), CellMaskTable)


def read_masks(folder: StoreFolder, model: str) -> MaskTable:
    """The masks, written or not."""
    return read_columns(folder, require_group(folder, masks_group(model)), MaskTable)


def read_members(
    folder: StoreFolder, model: str, table: MaskTable, masks: Iterable[str]
) -> dict[str, npt.NDArray[np.bool_]]:
    """member[layer, neuron] by id of some masks of the model's `table`, which is not read again.

    Raises:
        UserError: a mask is unknown or not written yet.
    """
    group, rows = require_group(folder, masks_group(model)), table.row_by_id()
    size, member = open_array(folder, f"{group}/size"), open_array(folder, f"{group}/member")
    members = {}
    for mask in masks:
        if mask not in rows or size[rows[mask]] == SIZE_NOT_WRITTEN:
            where = folder.backend.location(data_key(group))
            raise UserError(f"the mask {mask!r} is not in this store", where=where, fix="see open_masks(...).mask")
        members[mask] = np.asarray(member[rows[mask]])
    return members

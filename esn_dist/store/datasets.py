"""A store as xarray datasets: names instead of codes, no pad rows, and lazy arrays that read slices only.

Knows nothing of selectors, effects or plans. Works without torch and Ray, during a run and after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.errors import UserError
from esn_dist.store.columns import read_columns
from esn_dist.store.correct_sums import has_counts
from esn_dist.store.describe import read_emotions
from esn_dist.store.folder import StoreFolder, answers_group, counts_group, data_key, masks_group
from esn_dist.store.lazy_rows import RowNumbers, lazy_variable, read_rows
from esn_dist.store.read_counts import expert_arrays
from esn_dist.store.read_tables import read_masks
from esn_dist.store.schema import SIZE_NOT_WRITTEN
from esn_dist.store.tables import CellTable, LabelTable, MaskTable, Table
from esn_dist.store.text_encoding import decode_texts
from esn_dist.store.zarr_nodes import open_array, require_group
from esn_dist.terms import PARTS


def open_answers(folder: StoreFolder, model: str, corpus: str, *, complete: bool = False) -> xr.Dataset:
    """answer[cell, utterance], outcome, logprob[cell, utterance, emotion], option_number[utterance, emotion].

    Coordinates are the columns of the cells, and of their masks `parts` and `identification_size` (0: as many as all
    emotions have; -1: the mask uses no counts). Cells not written yet have outcome 0 everywhere.

    Args:
        complete: leave out every cell with any such answer.

    Raises:
        UserError: the store has no answers of this model on this corpus.
    """
    group = require_group(folder, answers_group(model, corpus))
    cells, labels = read_columns(folder, group, CellTable), read_columns(folder, group, LabelTable)
    rows = _named_rows(cells)
    if complete:
        rows = rows[(read_rows(open_array(folder, f"{group}/outcome"), rows) > 0).all(axis=1)]
    cells = cells.take(map(int, rows))
    variables = _lazy(folder, group, ("answer", "outcome", "logprob"), "cell", rows)
    emotions = read_emotions(folder, corpus)
    return xr.Dataset(
        {**variables, "option_number": (("utterance", "emotion"), _option_numbers(labels, len(emotions)))},
        coords={
            **_coordinates(cells),
            **_mask_coordinates(read_masks(folder, model), cells),
            **_coordinates(labels),
            "emotion": list(emotions),
        },
        attrs={"model": model, "corpus": corpus},
    )


def read_texts(folder: StoreFolder, model: str, corpus: str, cell: str) -> xr.Dataset:
    """The answers under one cell as texts: text[utterance] (str) and truncated[utterance] (whether it was cut).

    Raises `UserError` where the store has no such cell.
    """
    group = require_group(folder, answers_group(model, corpus))
    row = read_columns(folder, group, CellTable).row_by_id().get(cell)
    if row is None:
        where = folder.backend.location(data_key(group))
        raise UserError(f"no cell {cell!r} in this store", where=where, fix="see open_answers(...).cell")
    texts = decode_texts(np.asarray(open_array(folder, f"{group}/text")[row]))
    truncated = np.asarray(open_array(folder, f"{group}/truncated")[row])
    return xr.Dataset(
        {"text": ("utterance", _strings(texts)), "truncated": ("utterance", truncated)},
        coords=_coordinates(read_columns(folder, group, LabelTable)),
        attrs={"model": model, "corpus": corpus, "cell": cell},
    )


def open_counts(folder: StoreFolder, model: str, corpus: str) -> xr.Dataset:
    """K[utterance, part, layer, neuron], T[utterance, part], answer[utterance], outcome[utterance], lazy.

    A model with experts has T_expert[utterance, part, layer, expert] too; neuron i of expert e has number e · I + i.
    Only utterances with counts. `count_blocks` is faster for a pass over all of them.

    Raises `UserError` where the store has no counts of this model on this corpus.
    """
    group = require_group(folder, counts_group(model, corpus))
    labels = read_columns(folder, group, LabelTable)
    written = has_counts(np.asarray(open_array(folder, f"{group}/T")[:]))
    rows = _named_rows(labels)
    rows = rows[written[rows]]
    names = ("K", "T", "answer", "outcome", "logprob", *expert_arrays(folder, group))
    coordinates = _coordinates(labels.take(map(int, rows)))
    return xr.Dataset(
        _lazy(folder, group, names, "utterance", rows),
        coords={**coordinates, "part": list(PARTS), "emotion": list(read_emotions(folder, corpus))},
        attrs={"model": model, "corpus": corpus},
    )


def open_masks(folder: StoreFolder, model: str) -> xr.Dataset:
    """member[mask, layer, neuron] (lazy), size[mask], identified[mask], budget[mask]; written masks only.

    Raises `UserError` where the store does not have this model.
    """
    group = require_group(folder, masks_group(model))
    masks = read_columns(folder, group, MaskTable)
    rows = _named_rows(masks)
    rows = rows[np.asarray(open_array(folder, f"{group}/size")[:])[rows] != SIZE_NOT_WRITTEN]
    variables = _lazy(folder, group, ("member", "size", "identified"), "mask", rows)
    coordinates = _coordinates(masks.take(map(int, rows)))
    budget = coordinates.pop("budget")
    return xr.Dataset({**variables, "budget": budget}, coords=coordinates, attrs={"model": model})


def _lazy(
    folder: StoreFolder, group: str, names: tuple[str, ...], dim: str, rows: RowNumbers
) -> dict[str, xr.Variable]:
    return {name: lazy_variable(open_array(folder, f"{group}/{name}"), {dim: rows}) for name in names}


def _named_rows(table: Table) -> RowNumbers:
    """Rows that are no pad rows."""
    return np.fromiter(table.row_by_id().values(), dtype=np.int64)


def _strings(values: tuple[str, ...]) -> npt.NDArray[np.str_]:
    return np.array(values, dtype=np.str_)


def _option_numbers(labels: LabelTable, emotions: int) -> npt.NDArray[np.uint8]:
    """option_number[utterance, emotion]; 0 in pad rows."""
    numbers = [number or (0,) * emotions for number in labels.option_number]
    return np.array(numbers, dtype=np.uint8).reshape(len(labels), emotions)


def _mask_coordinates(masks: MaskTable, cells: CellTable) -> dict[str, Any]:
    """How each cell's mask was identified: identification_size[cell] and parts[cell]."""
    mask_row, sizes, parts = masks.row_by_id(), [-1] * len(cells), [""] * len(cells)
    for cell, mask in enumerate(cells.mask):
        if mask in mask_row and masks.source_corpus[mask_row[mask]]:
            sizes[cell], parts[cell] = masks.identification_size[mask_row[mask]], masks.parts[mask_row[mask]]
    return {"identification_size": ("cell", np.array(sizes, np.int64)), "parts": ("cell", _strings(tuple(parts)))}


def _coordinates(table: Table) -> dict[str, Any]:
    """A table's columns on its dimension; the ids become the dimension's own coordinate."""
    unused = table.unused()
    types: dict[str, Any] = {"text": np.str_, "code": np.str_, "int": np.int64, "float": np.float64}
    return {
        table.dim if name == "id" else name: (table.dim, np.array(getattr(table, name), dtype=types[kind]))
        for name, kind in table.columns.items()
        if kind != "options" and name not in unused
    }

"""A store as xarray objects: names instead of codes, no pad rows, lazy, and fast for whatever is asked.

Knows nothing of selectors, effects or plans. Works without torch and Ray, while a run goes on and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from esn_dist.errors import UserError, did_you_mean
from esn_dist.store.columns import read_columns
from esn_dist.store.folder import StoreFolder, answers_group, corpus_group, counts_group, masks_group, model_group
from esn_dist.store.lazy import Positions, lazy_variable, read_rows
from esn_dist.store.schema import SIZE_NOT_WRITTEN, VERSION, VERSION_ATTRIBUTE, Array, open_array
from esn_dist.store.shards import CountShard, answered_correctly, has_counts
from esn_dist.store.tables import CellMaskTable, CellTable, ExclusionTable, LabelTable, MaskTable, Table, UtteranceTable
from esn_dist.store.texts import decode_texts
from esn_dist.terms import PARTS, SHARD_ROWS


@dataclass(frozen=True, slots=True)
class CountBlock:
    """Counts of one group of shards: written rows only, K[utterance, part, layer, neuron], T[utterance, part].

    `T_expert[utterance, part, layer, expert]` of a model with experts: positions that were routed to each.
    """

    rows: slice
    utterance: tuple[str, ...]
    label: tuple[str, ...]
    K: npt.NDArray[np.uint16]
    T: npt.NDArray[np.uint16]
    answer: npt.NDArray[np.int8]
    outcome: npt.NDArray[np.uint8]
    T_expert: npt.NDArray[np.uint16] | None = None

    @property
    def positions(self) -> npt.NDArray[np.uint16]:
        """The T of P = K/T: that of each expert where there are any."""
        return self.T if self.T_expert is None else self.T_expert


@dataclass(frozen=True, slots=True)
class Description:
    """What a store holds.

    Attributes:
        corpora: by name: emotions and the identity of its spec, `evaluation_utterances`, `identification_utterances`,
            and the number of exclusions by reason.
        models: by name: attributes, masks, and the corpora with counts and with answers.
    """

    attributes: dict[str, Any]
    corpora: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]


def open_answers(folder: StoreFolder, model: str, corpus: str, *, complete: bool = False) -> xr.Dataset:
    """answer[cell, utterance], outcome, logprob[cell, utterance, emotion], option_number[utterance, emotion].

    Beside the cells' own columns stand their masks' `identification_size` (0: as many as all emotions have; -1: none
    was identified) and `parts`.
    Cells not written yet have outcome 0 everywhere; `complete=True` leaves out every cell with any such answer.
    """
    path = _existing(folder, answers_group(model, corpus))
    cells, labels = read_columns(path, CellTable), read_columns(path, LabelTable)
    positions = _named(cells)
    if complete:
        written = (read_rows(open_array(path / "outcome"), positions) > 0).all(axis=1)
        positions = positions[written]
    cells = cells.take(map(int, positions))
    names = ("answer", "outcome", "logprob")
    variables = {name: lazy_variable(open_array(path / name), {"cell": positions}) for name in names}
    emotions = _emotions(folder, corpus)
    numbers = [number or (0,) * len(emotions) for number in labels.option_number]
    options = np.array(numbers, dtype=np.uint8).reshape(len(labels), len(emotions))
    return xr.Dataset(
        {**variables, "option_number": (("utterance", "emotion"), options)},
        coords={
            **_coordinates(cells),
            **_mask_coordinates(read_masks(folder, model), cells),
            **_coordinates(labels),
            "emotion": list(emotions),
        },
        attrs={"model": model, "corpus": corpus},
    )


def read_texts(folder: StoreFolder, model: str, corpus: str, cell: str) -> xr.Dataset:
    """What the model said under one cell: text[utterance] (str) and truncated[utterance] (whether it was cut)."""
    path = _existing(folder, answers_group(model, corpus))
    row = read_columns(path, CellTable).named().get(cell)
    if row is None:
        raise UserError(f"no cell {cell!r} in this store", where=str(path), fix="see open_answers(...).cell")
    texts = decode_texts(np.asarray(open_array(path / "text")[row]))
    truncated = np.asarray(open_array(path / "truncated")[row])
    return xr.Dataset(
        {"text": ("utterance", _strings(texts)), "truncated": ("utterance", truncated)},
        coords=_coordinates(read_columns(path, LabelTable)),
        attrs={"model": model, "corpus": corpus, "cell": cell},
    )


def open_counts(folder: StoreFolder, model: str, corpus: str) -> xr.Dataset:
    """K[utterance, part, layer, neuron], T[utterance, part], answer[utterance], outcome[utterance], lazy.

    Of a model with experts T_expert[utterance, part, layer, expert] too; neuron (e, i) has number e · I + i.
    Only utterances with counts. For a pass over all of them use `count_blocks`.
    """
    path = _existing(folder, counts_group(model, corpus))
    labels = read_columns(path, LabelTable)
    written = has_counts(np.asarray(open_array(path / "T")[:]))
    positions = np.array([row for row in _named(labels) if written[row]], dtype=np.int64)
    names = ("K", "T", "answer", "outcome", "logprob", *_routed(path))
    variables = {name: lazy_variable(open_array(path / name), {"utterance": positions}) for name in names}
    coords = _coordinates(labels.take(map(int, positions)))
    return xr.Dataset(
        variables,
        coords={**coords, "part": list(PARTS), "emotion": list(_emotions(folder, corpus))},
        attrs={"model": model, "corpus": corpus},
    )


def count_blocks(folder: StoreFolder, model: str, corpus: str, shards: int = 1) -> Iterator[CountBlock]:
    """All counts, `shards` shards (of 32 utterances, one emotion each) at a time, in the store's order.

    The one fast way to see every count once: memory holds one block. Blocks without a written row are left out.
    """
    path = _existing(folder, counts_group(model, corpus))
    labels = read_columns(path, LabelTable)
    arrays = {name: open_array(path / name) for name in ("T", "answer", "outcome", "K", *_routed(path))}
    for rows, kept in _blocks(labels, arrays["T"], shards):
        values = {name: read_rows(array, kept) for name, array in arrays.items()}
        table = labels.take(map(int, kept))
        yield CountBlock(rows, table.id, table.label, **values)


def count_shards(folder: StoreFolder, model: str, corpus: str) -> Iterator[CountShard]:
    """As `count_blocks`, a shard at a time, but whoever gets it reads its K, the sum over its correct ones, or neither.

    A store, or a shard of it, that was written before there were such sums has none.
    """
    path = _existing(folder, counts_group(model, corpus))
    labels, emotions = read_columns(path, LabelTable), _emotions(folder, corpus)
    # Read at once: a chunk of these is a few bytes, and each call of zarr costs a millisecond.
    T, answer, outcome = (np.asarray(open_array(path / name)[:]) for name in ("T", "answer", "outcome"))
    correct = answered_correctly(outcome, answer, labels.label, emotions)
    arrays = {name: open_array(path / name) for name in ("K", *_routed(path))}
    sums = open_array(path / "K_correct") if (path / "K_correct").is_dir() else None
    for rows, kept in _blocks(labels, T, 1):
        summed = {"K_correct": sums} if sums and _is_file(path / "K_correct", sums, rows.start // SHARD_ROWS) else {}
        yield CountShard(T[kept], correct[kept], kept, arrays | summed)


def open_masks(folder: StoreFolder, model: str) -> xr.Dataset:
    """member[mask, layer, neuron] (lazy), size[mask], identified[mask], budget[mask]; written masks only."""
    path = _existing(folder, masks_group(model))
    masks = read_columns(path, MaskTable)
    sizes = np.asarray(open_array(path / "size")[:])
    positions = np.array([row for row in _named(masks) if sizes[row] != SIZE_NOT_WRITTEN], dtype=np.int64)
    names = ("member", "size", "identified")
    variables = {name: lazy_variable(open_array(path / name), {"mask": positions}) for name in names}
    coordinates = _coordinates(masks.take(map(int, positions)))
    budget = coordinates.pop("budget")
    return xr.Dataset({**variables, "budget": budget}, coords=coordinates, attrs={"model": model})


def read_utterances(folder: StoreFolder, corpus: str, set_name: str) -> UtteranceTable:
    """The `evaluation` or `identification` set as stored (position = row of the arrays, pad rows included)."""
    return read_columns(_existing(folder, f"{corpus_group(corpus)}/{set_name}"), UtteranceTable)


def read_exclusions(folder: StoreFolder, corpus: str) -> ExclusionTable:
    """The utterances that the scan excluded, with reasons."""
    return read_columns(_existing(folder, f"{corpus_group(corpus)}/set_aside"), ExclusionTable)


def read_cells(folder: StoreFolder, model: str, corpus: str, rows: slice = slice(None)) -> CellTable:
    """The cells as stored (position = row of the arrays, pad rows included), or only `rows` of them.

    The whole table of a million cells takes seconds; some neighbouring rows take milliseconds whatever its length.
    """
    return read_columns(_existing(folder, answers_group(model, corpus)), CellTable, rows)


def read_cell_masks(folder: StoreFolder, model: str, corpus: str) -> CellMaskTable:
    """The masks that cells need, as stored (position = row of the arrays, pad rows included)."""
    return read_columns(_existing(folder, answers_group(model, corpus)), CellMaskTable)


def read_masks(folder: StoreFolder, model: str) -> MaskTable:
    """The masks as stored, written or not (position = row of the arrays)."""
    return read_columns(_existing(folder, masks_group(model)), MaskTable)


def read_member(folder: StoreFolder, model: str, mask: str) -> npt.NDArray[np.bool_]:
    """member[layer, neuron] of one mask. Raises `UserError` where it is unknown or not written yet."""
    return read_members(folder, model, read_masks(folder, model), [mask])[mask]


def read_members(
    folder: StoreFolder, model: str, table: MaskTable, masks: Iterable[str]
) -> dict[str, npt.NDArray[np.bool_]]:
    """member[layer, neuron] by id of some masks of the model's `table`, which is not read again.

    Raises:
        UserError: a mask is unknown or not written yet.
    """
    path, rows = _existing(folder, masks_group(model)), table.named()
    size, member = open_array(path / "size"), open_array(path / "member")
    found = {}
    for mask in masks:
        if mask not in rows or size[rows[mask]] == SIZE_NOT_WRITTEN:
            raise UserError(f"the mask {mask!r} is not in this store", where=str(path), fix="see open_masks(...).mask")
        found[mask] = np.asarray(member[rows[mask]])
    return found


def read_model(folder: StoreFolder, model: str) -> dict[str, Any] | None:
    """A model's attributes (layers, width, weights' fingerprint, engine profile …), or None where it is not there."""
    path = folder.data / model_group(model)
    return zarr.open_group(path, mode="r").attrs.asdict() if (path / "zarr.json").is_file() else None


def read_corpus(folder: StoreFolder, corpus: str) -> dict[str, Any]:
    """A corpus's attributes: emotions, and the identity of its spec."""
    return zarr.open_group(_existing(folder, corpus_group(corpus)), mode="r").attrs.asdict()


def describe(folder: StoreFolder) -> Description:
    """Everything but the data; fast. Raises `UserError` where there is no store, or one of a newer version."""
    folder.require()
    root = zarr.open_group(folder.data, mode="r")
    attributes: dict[str, Any] = root.attrs.asdict()
    if attributes.get(VERSION_ATTRIBUTE, 0) > VERSION:
        raise UserError(
            f"this store has version {attributes[VERSION_ATTRIBUTE]}",
            where=str(folder.root),
            expected=f"at most {VERSION}",
            fix="pip install --upgrade esn-dist",
        )
    corpora = {name: _describe_corpus(folder, name) for name in _children(folder, "corpora")}
    models = {name: _describe_model(folder, name) for name in _children(folder, "models")}
    return Description(attributes, corpora, models)


def _describe_corpus(folder: StoreFolder, corpus: str) -> dict[str, Any]:
    group = zarr.open_group(folder.data / corpus_group(corpus), mode="r")
    reasons = read_exclusions(folder, corpus).reason
    return {
        **group.attrs.asdict(),
        "evaluation_utterances": len(read_utterances(folder, corpus, "evaluation").named()),
        "identification_utterances": len(read_utterances(folder, corpus, "identification").named()),
        "set_aside": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
    }


def _describe_model(folder: StoreFolder, model: str) -> dict[str, Any]:
    path = model_group(model)
    corpora = [name for name in _children(folder, path) if name != "masks"]
    return {
        **zarr.open_group(folder.data / path, mode="r").attrs.asdict(),
        "masks": len(read_masks(folder, model).named()),
        "counts": [name for name in corpora if (folder.data / counts_group(model, name)).is_dir()],
        "answers": [name for name in corpora if (folder.data / answers_group(model, name)).is_dir()],
    }


def _blocks(labels: LabelTable, T: Array | npt.NDArray[np.uint16], shards: int) -> Iterator[tuple[slice, Positions]]:
    """Rows of every `shards` shards, and those among them that have counts; blocks without any are left out."""
    for start in range(0, len(labels), shards * SHARD_ROWS):
        rows = slice(start, min(start + shards * SHARD_ROWS, len(labels)))
        named = np.array([bool(name) for name in labels.id[rows]])
        kept = np.flatnonzero(named & has_counts(np.asarray(T[rows]))) + start
        if len(kept):
            yield rows, kept


def _is_file(path: Path, array: Array, row: int) -> bool:
    """Whether the chunk of `row` was written: one that was not reads as zeros."""
    key = array.metadata.encode_chunk_key((row, *(0 for _ in array.shape[1:])))
    return (path / key).is_file()


def _routed(counts: Path) -> tuple[str, ...]:
    """The array that only models with experts have."""
    return ("T_expert",) if (counts / "T_expert").is_dir() else ()


def _children(folder: StoreFolder, path: str) -> list[str]:
    parent = folder.data / path
    return sorted(child.name for child in parent.iterdir() if child.is_dir()) if parent.is_dir() else []


def _existing(folder: StoreFolder, group: str) -> Any:
    """The group's path; where it is missing, `UserError` about the first step that is."""
    folder.require()
    parent = ""
    for name in group.split("/"):
        if not (folder.data / parent / name / "zarr.json").is_file():
            there = _children(folder, parent)
            raise UserError(
                f"there is no {name!r} in {parent or 'this store'}.{did_you_mean(name, there)}",
                where=str(folder.root),
                expected=f"one of {', '.join(there)}" if there else "something, but nothing has been written yet",
            )
        parent = f"{parent}/{name}".lstrip("/")
    return folder.data / group


def _emotions(folder: StoreFolder, corpus: str) -> tuple[str, ...]:
    return tuple(zarr.open_group(folder.data / corpus_group(corpus), mode="r").attrs["emotions"])  # type: ignore


def _named(table: Table) -> Positions:
    return np.fromiter(table.named().values(), dtype=np.int64)


def _strings(values: tuple[str, ...]) -> npt.NDArray[Any]:
    return np.array(values, dtype=np.str_)


def _mask_coordinates(masks: MaskTable, cells: CellTable) -> dict[str, Any]:
    """How each cell's mask was identified."""
    row, identified = masks.named(), [-1] * len(cells)
    parts = [""] * len(cells)
    for cell, mask in enumerate(cells.mask):
        if mask in row and masks.source_corpus[row[mask]]:
            identified[cell], parts[cell] = masks.identification_size[row[mask]], masks.parts[row[mask]]
    return {"identification_size": ("cell", np.array(identified, np.int64)), "parts": ("cell", _strings(tuple(parts)))}


def _coordinates(table: Table) -> dict[str, Any]:
    """A table's columns on its dimension; the ids become the dimension's own coordinate."""
    unused = table.unused()
    types: dict[str, Any] = {"text": np.str_, "code": np.str_, "int": np.int64, "float": np.float64}
    return {
        table.dim if name == "id" else name: (table.dim, np.array(getattr(table, name), dtype=types[kind]))
        for name, kind in table.columns.items()
        if kind != "options" and name not in unused
    }

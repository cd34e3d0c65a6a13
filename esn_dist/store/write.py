"""Writing results, which workers do: whole chunks of existing arrays, and the list of files for the done-mark.

A slice covers whole chunks or is refused, because two writers of one chunk lose each other's work without an error.
Values have one row for each row of the slice that has an id, in order; pad rows are filled here. Knows no units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, product
from typing import Any

import numpy as np
import numpy.typing as npt

from esn_dist.store.columns import read_columns
from esn_dist.store.correct_sums import answered_correctly, correct_sums
from esn_dist.store.folder import StoreFolder, answers_group, counts_group, data_key, masks_group
from esn_dist.store.schema import TEXT_WIDTH
from esn_dist.store.tables import LabelTable
from esn_dist.store.text_encoding import decode_texts, encode_cut_texts
from esn_dist.store.zarr_nodes import Array, categories_of, chunk_key, dims_of, has_node, open_array
from esn_dist.terms import SHARD_ROWS

Values = npt.ArrayLike
CheckedValues = Mapping[str, npt.NDArray[Any]]


def write_counts(
    folder: StoreFolder,
    model: str,
    corpus: str,
    rows: slice,
    *,
    K: Values,
    T: Values,
    answer: Values,
    outcome: Values,
    logprob: Values,
    text: Sequence[str],
    T_expert: Values | None = None,
) -> list[str]:
    """Write whole shards of the identification set.

    K[utterance, part, layer, neuron] below 65536, T[utterance, part] below 65535 (an utterance without counts, such as
    an unreadable one, has T = 65535 everywhere and is left out by the reader), answer[utterance] (-1 = none),
    outcome[utterance], logprob[utterance, emotion]; of experts T_expert[utterance, part, layer, expert].

    K_correct, the sum over each shard's correctly answered utterances, is computed here.

    Returns: the files written, relative to `data.zarr`. Raises `ValueError` for partial chunks and unfit values, and
    where T_expert is given for a model without experts or missing for a model with them.
    """
    group = counts_group(model, corpus)
    has_experts = has_node(folder, f"{group}/T_expert")
    if has_experts != (T_expert is not None):
        raise ValueError(f"{model}: T_expert is {'missing' if has_experts else 'given for a model without experts'}")
    encoded, truncated = encode_cut_texts(text, TEXT_WIDTH)
    routed = {} if T_expert is None else {"T_expert": T_expert}
    response = {"logprob": logprob, "text": encoded, "truncated": truncated, "answer": answer, "outcome": outcome}
    checked = _checked(folder, group, "utterance_id", rows, {"K": K, **routed, **response, "T": T})
    return _write(folder, group, rows, {"K": checked["K"], **_sums(folder, group, rows, checked), **checked})


def write_answers(
    folder: StoreFolder,
    model: str,
    corpus: str,
    cells: slice,
    *,
    answer: Values,
    outcome: Values,
    logprob: Values,
    text: Sequence[Sequence[str]],
) -> list[str]:
    """Write whole blocks of cells x all evaluation utterances.

    answer[cell, utterance] (-1 = none), outcome[cell, utterance], logprob[cell, utterance, emotion],
    text[cell][utterance]: the model's answer (cut after 160 bytes, and flagged).

    Returns: the files written, relative to `data.zarr`. Raises `ValueError` for partial chunks and unfit values.
    """
    encoded, truncated = encode_cut_texts(list(chain.from_iterable(text)), TEXT_WIDTH)
    shape = np.shape(answer)
    values = {
        "logprob": logprob,
        "text": encoded.reshape(*shape, TEXT_WIDTH),
        "truncated": truncated.reshape(shape),
        "answer": answer,
        "outcome": outcome,
    }
    group = answers_group(model, corpus)
    return _write(folder, group, cells, _checked(folder, group, "cell_id", cells, values))


def write_masks(folder: StoreFolder, model: str, rows: slice, *, member: Values, identified: Values) -> list[str]:
    """Write masks: member[mask, layer, neuron] bool, identified[mask] = items per emotion used (0 where none were).

    `size[mask]` is computed here. Returns: the files written, relative to `data.zarr`.
    """
    size = np.asarray(member).sum(axis=(1, 2))
    values = {"member": member, "identified": identified, "size": size}
    group = masks_group(model)
    return _write(folder, group, rows, _checked(folder, group, "mask_id", rows, values))


def _checked(
    folder: StoreFolder, group: str, ids: str, rows: slice, values: Mapping[str, Values]
) -> dict[str, npt.NDArray[Any]]:
    """`values` with pad rows: everything is checked before anything is written."""
    arrays = {name: open_array(folder, f"{group}/{name}") for name in values}
    for name, array in arrays.items():
        _require_whole_chunks(f"{group}/{name}", array, rows)
    row_ids = decode_texts(np.asarray(open_array(folder, f"{group}/{ids}")[rows]))
    named = np.array([bool(row_id) for row_id in row_ids])
    return {name: _with_pad_rows(name, arrays[name], named, value) for name, value in values.items()}


def _sums(folder: StoreFolder, group: str, rows: slice, checked: CheckedValues) -> CheckedValues:
    """K_correct of the rows' shards; empty where the store was made before it."""
    if not has_node(folder, f"{group}/K_correct"):
        return {}
    emotions = categories_of(open_array(folder, f"{group}/answer"))
    label = read_columns(folder, group, LabelTable, rows).label
    correct = answered_correctly(checked["outcome"], checked["answer"], label, emotions)
    return {"K_correct": correct_sums(checked["K"], checked["T"], correct)}


def _write(folder: StoreFolder, group: str, rows: slice, checked: CheckedValues) -> list[str]:
    """Write in the order of `checked`. Returns: the files."""
    written: list[str] = []
    for name, values in checked.items():
        array = open_array(folder, f"{group}/{name}", "r+")
        span = _shards(rows) if dims_of(array)[0] == "shard" else rows
        files = _chunk_files(f"{group}/{name}", array, span)
        _replace(folder, array, span, values, files)
        written += files
    return written


def _shards(rows: slice) -> slice:
    return slice((rows.start or 0) // SHARD_ROWS, rows.stop // SHARD_ROWS)


def _replace(folder: StoreFolder, array: Array, rows: slice, values: npt.NDArray[Any], files: Sequence[str]) -> None:
    try:
        array[rows] = values
    except (ValueError, RuntimeError):
        # zarr 3.1.6 reads a shard even to replace all of it, and so fails on a damaged one.
        for file in files:
            folder.backend.delete(data_key(file))
        array[rows] = values


def _require_whole_chunks(name: str, array: Array, rows: slice) -> None:
    step, length = _rows_per_file(array), array.shape[0]
    start, stop = rows.start or 0, rows.stop
    ends_well = stop is not None and (stop % step == 0 or stop == length)
    if rows.step not in (None, 1) or start % step or not ends_well or not 0 <= start < stop <= length:
        raise ValueError(f"{name}: rows {rows.start}:{rows.stop} of {length} are not whole chunks of {step} rows")


def _with_pad_rows(name: str, array: Array, named: npt.NDArray[np.bool_], values: Values) -> npt.NDArray[Any]:
    given = np.asarray(values)
    shape = (int(named.sum()), *array.shape[1:])
    if given.shape != shape:
        raise ValueError(f"{name}: values of shape {given.shape}, but the named rows need {shape}")
    exact = _exactly(name, given, array.dtype)
    if named.all():
        return exact
    full = np.full((len(named), *array.shape[1:]), array.fill_value, dtype=array.dtype)
    full[named] = exact
    return full


def _exactly(name: str, given: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """`given` as `dtype`. Whole numbers keep their value or are refused: a wrapped count looks like a count."""
    if given.dtype == dtype or (dtype.kind == "f" and given.dtype.kind == "f"):
        return given.astype(dtype, copy=False)
    if given.dtype.kind not in "biu" or dtype.kind == "f":
        raise ValueError(f"{name}: {given.dtype} values, but the array has {dtype}")
    if given.size and not np.array_equal(given.astype(dtype), given):
        raise ValueError(f"{name}: values from {given.min()} to {given.max()} do not fit {dtype}")
    return given.astype(dtype)


def _rows_per_file(array: Array) -> int:
    return int((array.shards or array.chunks)[0])


def _chunk_files(name: str, array: Array, rows: slice) -> list[str]:
    sizes = array.shards or array.chunks
    first = range((rows.start or 0) // sizes[0], -(-rows.stop // sizes[0]))
    rest = [range(-(-length // size)) for length, size in zip(array.shape[1:], sizes[1:], strict=True)]
    return [f"{name}/{chunk_key(array, position)}" for position in product(first, *rest)]

"""An actor's part: whole chunks of existing arrays, and the list of files that a done-mark will rest on.

A slice covers whole chunks, or is refused: two writers of one chunk lose each other's work without an error. Values
have one row for each row of the slice that has an id, in order; pad rows are filled here. Knows nothing of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from esn_dist.store.columns import categories_of, read_columns
from esn_dist.store.folder import StoreFolder, answers_group, counts_group, masks_group
from esn_dist.store.schema import TEXT_WIDTH, Array, dims_of, open_array
from esn_dist.store.shards import answered_correctly, correct_sums
from esn_dist.store.tables import LabelTable
from esn_dist.store.texts import decode_texts, encode_cut_texts
from esn_dist.terms import SHARD_ROWS

Values = npt.ArrayLike
Ready = Mapping[str, npt.NDArray[Any]]


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

    K_correct, the sum over each shard's correctly answered utterances, is counted here.

    Returns: the files written, relative to `data.zarr`. Raises `ValueError` for partial chunks and unfit values, and
    where T_expert is given for a model without experts or lacks for one that has them.
    """
    has_experts = (folder.data / counts_group(model, corpus) / "T_expert").is_dir()
    if has_experts != (T_expert is not None):
        raise ValueError(f"{model}: T_expert is {'missing' if has_experts else 'given for a model without experts'}")
    encoded, truncated = encode_cut_texts(text, TEXT_WIDTH)
    routed = {} if T_expert is None else {"T_expert": T_expert}
    response = {"logprob": logprob, "text": encoded, "truncated": truncated, "answer": answer, "outcome": outcome}
    group = counts_group(model, corpus)
    ready = _ready(folder, group, "utterance_id", rows, {"K": K, **routed, **response, "T": T})
    return _put(folder, group, rows, {"K": ready["K"], **_sums(folder.data / group, rows, ready), **ready})


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
    text[cell][utterance] as the model said it (cut after 160 bytes, and flagged).

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
    return _put(folder, group, cells, _ready(folder, group, "cell_id", cells, values))


def write_masks(folder: StoreFolder, model: str, rows: slice, *, member: Values, identified: Values) -> list[str]:
    """Write masks: member[mask, layer, neuron] bool, identified[mask] = items per emotion used (0 where none were).

    `size[mask]` is counted here. Returns: the files written, relative to `data.zarr`.
    """
    size = np.asarray(member).sum(axis=(1, 2))
    values = {"member": member, "identified": identified, "size": size}
    group = masks_group(model)
    return _put(folder, group, rows, _ready(folder, group, "mask_id", rows, values))


def _ready(folder: StoreFolder, group: str, ids: str, rows: slice, values: Mapping[str, Values]) -> Ready:
    """`values` with pad rows: everything is checked before anything is written."""
    path = folder.data / group
    arrays = {name: open_array(path / name) for name in values}
    for name, array in arrays.items():
        _require_whole_chunks(f"{group}/{name}", array, rows)
    named = np.array([bool(name) for name in decode_texts(np.asarray(open_array(path / ids)[rows]))])
    return {name: _with_pad_rows(name, arrays[name], named, value) for name, value in values.items()}


def _sums(path: Path, rows: slice, ready: Ready) -> Ready:
    """K_correct of the rows' shards; nothing where the store was made before it."""
    if not (path / "K_correct").is_dir():
        return {}
    emotions, label = categories_of(open_array(path / "answer")), read_columns(path, LabelTable, rows).label
    correct = answered_correctly(ready["outcome"], ready["answer"], label, emotions)
    return {"K_correct": correct_sums(ready["K"], ready["T"], correct)}


def _put(folder: StoreFolder, group: str, rows: slice, ready: Ready) -> list[str]:
    """Write in the order of `ready`; returns the files."""
    written: list[str] = []
    for name, value in ready.items():
        array = open_array(folder.data / group / name, "r+")
        place = _shards(rows) if dims_of(array)[0] == "shard" else rows
        files = _chunk_files(f"{group}/{name}", array, place)
        _replace(array, place, value, [folder.data / file for file in files])
        written += files
    return written


def _shards(rows: slice) -> slice:
    return slice((rows.start or 0) // SHARD_ROWS, rows.stop // SHARD_ROWS)


def _replace(array: Array, rows: slice, value: npt.NDArray[Any], files: Sequence[Path]) -> None:
    try:
        array[rows] = value
    except (ValueError, RuntimeError):
        # zarr 3.1.6 reads a shard even to replace all of it, and so stumbles over a damaged one.
        for file in files:
            file.unlink(missing_ok=True)
        array[rows] = value


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
    fitting = _exactly(name, given, array.dtype)
    if named.all():
        return fitting
    full = np.full((len(named), *array.shape[1:]), array.fill_value, dtype=array.dtype)
    full[named] = fitting
    return full


def _exactly(name: str, given: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """`given` as `dtype`; whole numbers keep their value or are refused, for a wrapped count looks like a count."""
    if given.dtype == dtype or (dtype.kind == "f" and given.dtype.kind == "f"):
        return given.astype(dtype, copy=False)
    if given.dtype.kind not in "biu" or dtype.kind == "f":
        raise ValueError(f"{name}: {given.dtype} values where {dtype} ones belong")
    if given.size and not np.array_equal(given.astype(dtype), given):
        raise ValueError(f"{name}: values from {given.min()} to {given.max()} do not fit {dtype}")
    return given.astype(dtype)


def _rows_per_file(array: Array) -> int:
    return int((array.shards or array.chunks)[0])


def _chunk_files(name: str, array: Array, rows: slice) -> list[str]:
    sizes = array.shards or array.chunks
    first = range((rows.start or 0) // sizes[0], -(-rows.stop // sizes[0]))
    rest = [range(-(-length // size)) for length, size in zip(array.shape[1:], sizes[1:], strict=True)]
    keys = (array.metadata.encode_chunk_key(place) for place in product(first, *rest))
    return [str(Path(name, key)) for key in keys]

"""Where answers go: from the baseline's option to the cell's, and how many of the flipped answers end at the source.

Counts answers, right or wrong. Knows no intervals; `margin.source_answer_changes` has them.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from esn_dist.analysis.trials import Group, Trials

INVALID = "invalid"


def moves(trials: Trials, group: Group) -> xr.DataArray:
    """Answers of a condition against the same utterances' baseline answers.

    Returns:
        moves[cell, before, after]: number of utterances; the options in the corpus's order, then "invalid". Utterances
        that either cell did not answer at all are left out. Coordinates on `cell`: `source` and `mask_seed`.
    """
    names = [*trials.emotions, INVALID]
    before = _codes(trials, trials.baseline)
    counts = np.zeros((len(group.cells), len(names), len(names)), np.int64)
    for number, cell in enumerate(group.cells):
        both = trials.usable[cell] & trials.usable[trials.baseline]
        np.add.at(counts[number], (before[both], _codes(trials, cell)[both]), 1)
    coords = {"source": ("cell", list(group.sources)), "mask_seed": ("cell", list(group.seeds))}
    return xr.DataArray(counts, dims=("cell", "before", "after"), coords={**coords, "before": names, "after": names})


def destinations(moved: xr.DataArray) -> xr.DataArray:
    """Shares of the flipped answers by where they end: destinations[cell, after] within 0..1; NaN without any flip."""
    off = moved.where(moved["before"] != moved["after"], 0).sum("before")
    total = off.sum("after")
    return (off / total.where(total > 0)).rename("destinations")


def _codes(trials: Trials, cell: int) -> np.ndarray:
    """Positions in the options; an answer that names none has the position after the last."""
    answer = trials.answer[cell].astype(np.int64)
    valid = trials.outcome[cell] == 1
    return np.where(valid, answer, len(trials.emotions))

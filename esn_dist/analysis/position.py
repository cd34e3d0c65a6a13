"""Option-position bias: how often each option number is answered, and accuracy by the number of the true option.

Options have a random order per item, so without a bias every number is answered equally often. Knows no conditions:
each cell is counted separately.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from esn_dist.terms import Outcome


def position_bias(answers: xr.Dataset) -> xr.Dataset:
    """Counts by option number, for every cell of "answers".

    Returns:
        answered[cell, number]: answers that named this number; shown[cell, number]: answered utterances whose true
        option has it; correct[cell, number]: those of them answered right; p[cell]: chi-square test of `answered`
        against equal rates (NaN where nothing was answered). `number` counts from 1.
    """
    emotions = [str(emotion) for emotion in answers["emotion"].values]
    number_UE = answers["option_number"].transpose("utterance", "emotion").values.astype(np.int64)
    label = np.array([emotions.index(str(name)) for name in answers["label"].values])
    answer = answers["answer"].transpose("cell", "utterance").values.astype(np.int64)
    valid = answers["outcome"].transpose("cell", "utterance").values == Outcome.ANSWERED
    utterance = np.arange(len(label))
    true = np.broadcast_to(number_UE[utterance, label], answer.shape)
    answered = number_UE[utterance, np.where(valid, answer, 0)]
    variables = {
        "answered": _by_number(answered, valid, len(emotions)),
        "shown": _by_number(true, valid, len(emotions)),
        "correct": _by_number(true, valid & (answered == true), len(emotions)),
    }
    counts = xr.Dataset(
        {name: (("cell", "number"), of_cells) for name, of_cells in variables.items()},
        coords={"cell": answers["cell"].values, "number": np.arange(1, len(emotions) + 1)},
        attrs=answers.attrs,
    )
    return counts.assign(p=("cell", [_uniform_p(of_cell) for of_cell in variables["answered"]]))


def _by_number(number: np.ndarray, counted: np.ndarray, options: int) -> np.ndarray:
    """counts[cell, number]"""
    return np.stack([(counted & (number == which)).sum(axis=1) for which in range(1, options + 1)], axis=1)


def _uniform_p(counts: np.ndarray) -> float:
    from scipy.stats import chisquare

    return float(chisquare(counts).pvalue) if counts.sum() else float("nan")

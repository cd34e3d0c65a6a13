"""2-Pass (paper eqs. 12–13) without a second pass: each utterance's answer under the mask of its own first answer.

The steering cells of a sweep hold the answers under every emotion's mask, so the second pass has been made already:
the utterance's answer is the one in the cell whose source is the emotion first predicted for it (same gain, same
batches, so the same bits). Its RND control is RND's steering cell: one mask serves for all emotions. Where the first
answer is none, there is no second pass, and the first outcome stands. Knows no statistics: what it adds are cells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.analysis.trials import Group, Trials, read_trials
from esn_dist.seeds import digest
from esn_dist.sweep.interventions import STEER, TWO_PASS
from esn_dist.terms import Outcome


def with_two_pass(answers: xr.Dataset) -> xr.Dataset:
    """`answers` of one model × corpus, followed by one cell "two-pass" for every complete family of steering cells.

    A family is one selector, gain, fraction, source corpus, identification and seed; it is complete when every emotion
    of the evaluation corpus has its cell (masks of a corpus with other emotions give no 2-Pass). The new cells have no
    mask and no source emotion, so that effects read them as they read RND, mix and union.
    """
    trials = read_trials(answers)
    steering = (group for group in trials.groups if group.condition.intervention == STEER)
    families = [family for group in steering for family in _families(trials, group)]
    if not families:
        return answers
    added = [_cell(answers, trials, family) for family in families]
    # What has no cell dimension (the option numbers, the labels) is the same in all and stays as it is.
    return xr.concat(
        [answers, *added], "cell", data_vars="minimal", coords="minimal", compat="override", join="override"
    )


def second_pass(trials: Trials, steered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The cell that holds each utterance's final answer.

    Args:
        steered: steered[emotion], the steering cell with this source.

    Returns:
        cell[utterance]; the baseline where the first answer is none.
    """
    first, outcome = trials.answer[trials.baseline], trials.outcome[trials.baseline]
    cell: npt.NDArray[np.int64] = np.where(outcome == Outcome.ANSWERED, steered[first], trials.baseline)
    return cell


def _families(trials: Trials, group: Group) -> Iterator[npt.NDArray[np.int64]]:
    """steered[emotion] of each seed (one, for masks that are not drawn) that has a cell for every emotion."""
    for seed in dict.fromkeys(group.seeds):
        members = zip(group.cells, group.sources, group.seeds, strict=True)
        of_source = {source: cell for cell, source, own in members if own == seed}
        cells = [of_source.get(emotion, of_source.get("")) for emotion in trials.emotions]
        if all(cell is not None for cell in cells):
            yield np.array(cells, np.int64)


def _cell(answers: xr.Dataset, trials: Trials, steered: npt.NDArray[np.int64]) -> xr.Dataset:
    at = xr.DataArray(second_pass(trials, steered), dims="utterance")
    utterance = xr.DataArray(np.arange(len(trials.label)), dims="utterance")
    like = answers.isel(cell=[int(steered[0])]).load()
    for name, values in answers.data_vars.items():
        if {"cell", "utterance"} <= set(values.dims):
            final = values.load().isel(cell=at, utterance=utterance).drop_vars(answers.coords, errors="ignore")
            like[name] = final.expand_dims("cell").transpose(*like[name].dims)
    id = digest(TWO_PASS, *(str(answers.cell.values[cell]) for cell in steered))[:16]
    said = {"cell": id, "intervention": TWO_PASS, "source_emotion": "", "mask": ""}
    return like.assign_coords({name: ("cell", [word]) for name, word in said.items() if name in answers.coords})

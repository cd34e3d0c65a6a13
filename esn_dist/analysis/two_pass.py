"""2-Pass (paper eqs. 12–13) without a second pass: each utterance's answer under the mask of its own first answer.

The steering cells of a sweep hold the answers under every emotion's mask, so no second pass is needed. An utterance's
answer is that of the cell whose source is the emotion first predicted for it: same gain, same batches, same bits. Its
RND control is RND's steering cell, whose mask is the same for all emotions. Where the first answer names no option, the
first outcome is kept. Every type of intervention with `answered_by` becomes cells in this way. Knows no statistics: it
adds cells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.analysis.trials import Group, Trials, read_trials
from esn_dist.seeds import digest
from esn_dist.sweep.interventions import derived_types
from esn_dist.terms import Outcome


def with_two_pass(answers: xr.Dataset) -> xr.Dataset:
    """`answers` of one model × corpus, followed by one cell "two-pass" for every complete family of steering cells.

    Types of other packages with `answered_by` follow in the same way.

    A family is one selector, gain, fraction, source corpus, identification and seed; it is complete when every emotion
    of the evaluation corpus has its cell (masks of a corpus with other emotions give no 2-Pass). The new cells have no
    mask and no source emotion, as those of RND, mix and union.
    """
    trials = read_trials(answers)
    added = [
        _cell(answers, trials, name, family)
        for name, answered_by in derived_types().items()
        for group in trials.groups
        if group.condition.intervention == answered_by
        for family in _families(trials, group)
    ]
    if not added:
        return answers
    # Variables without a cell dimension (option numbers, labels) are the same in all and are not concatenated.
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
        of_source = {source: cell for cell, source, of_cell in members if of_cell == seed}
        cells = [of_source.get(emotion, of_source.get("")) for emotion in trials.emotions]
        if all(cell is not None for cell in cells):
            yield np.array(cells, np.int64)


def _cell(answers: xr.Dataset, trials: Trials, name: str, steered: npt.NDArray[np.int64]) -> xr.Dataset:
    chosen = xr.DataArray(second_pass(trials, steered), dims="utterance")
    utterance = xr.DataArray(np.arange(len(trials.label)), dims="utterance")
    added = answers.isel(cell=[int(steered[0])]).load()
    for variable, values in answers.data_vars.items():
        if {"cell", "utterance"} <= set(values.dims):
            final = values.load().isel(cell=chosen, utterance=utterance).drop_vars(answers.coords, errors="ignore")
            added[variable] = final.expand_dims("cell").transpose(*added[variable].dims)
    id = digest(name, *(str(answers.cell.values[cell]) for cell in steered))[:16]
    coordinates = {"cell": id, "intervention": name, "source_emotion": "", "mask": ""}
    present = {key: ("cell", [value]) for key, value in coordinates.items() if key in answers.coords}
    return added.assign_coords(present)

"""Studies that search (`reach`): the cells of their next round, from the cells of the rounds that are finished.

A round is a block of cells appended to the store. It depends on finished cells only, so it is the same for any number
of workers. Knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from esn_dist.analysis.effects import point_gap
from esn_dist.analysis.trials import read_trials
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import open_answers
from esn_dist.sweep.fraction_search import next_fraction
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.plan import Plan
from esn_dist.sweep.spec import Sweep

SearchKey = tuple[str, float, MaskKey]  # evaluation corpus, gain, and a mask without fraction and emotion


def next_round(sweep: Sweep, planned: Plan, folder: StoreFolder, model: str) -> dict[str, tuple[Cell, ...]]:
    """By study, the cells of one model that the next round answers; empty when every search is over.

    A search whose cells failed is over too: its result is never a number that was not measured.
    """
    cells_of: dict[str, tuple[Cell, ...]] = {}
    for name, study in sweep.studies.items():
        if study.reach is None:
            continue
        new: list[Cell] = []
        for search, by_fraction in _searches(c for c in planned.studies[name] if c.model == model).items():
            template = next(iter(by_fraction.values()))
            gaps = _gaps(folder, model, search, study.fractions, template)
            fraction = next_fraction(study.fractions, gaps, study.reach)
            if fraction is not None and fraction not in by_fraction:
                new += [_with_fraction(cell, fraction) for cell in template]
        if new:
            cells_of[name] = tuple(new)
    return cells_of


def _searches(cells: Iterable[Cell]) -> Mapping[SearchKey, dict[Decimal, list[Cell]]]:
    """The cells of each search by fraction, one per source emotion."""
    searches: dict[SearchKey, dict[Decimal, list[Cell]]] = {}
    for cell in cells:
        if cell.mask:
            key = (cell.corpus, cell.alpha, replace(cell.mask, fraction=Decimal(0), emotion=""))
            searches.setdefault(key, {}).setdefault(cell.mask.fraction, []).append(cell)
    return searches


def _with_fraction(cell: Cell, fraction: Decimal) -> Cell:
    assert cell.mask
    return replace(cell, mask=replace(cell.mask, fraction=fraction))


def _gaps(
    folder: StoreFolder, model: str, search: SearchKey, fractions: Iterable[Decimal], template: list[Cell]
) -> dict[Decimal, float]:
    """The self–cross gap of every fraction whose cells are finished, no matter which study planned them."""
    answers = open_answers(folder, model, search[0], complete=True)
    row_of = {id: row for row, id in enumerate(answers.cell.values.tolist())}
    baseline = [row for row, name in enumerate(answers.intervention.values.tolist()) if name == "baseline"]
    gaps = {}
    for fraction in fractions:
        cells = [_with_fraction(cell, fraction) for cell in template]
        if baseline and all(cell.id in row_of for cell in cells):
            rows = [*baseline, *(row_of[cell.id] for cell in cells)]
            trials = read_trials(answers.isel(cell=rows).load())
            (group,) = trials.groups  # the cells differ in their source emotion alone
            gaps[fraction] = point_gap(trials, group)
    return gaps

"""Studies that depend on results: the cells of their next round, from the cells of the rounds that are finished.

A round is a block of cells appended to the store; it rests on nothing but finished cells, so any number of workers asks
for the same ones. Knows nothing of Ray.
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

Line = tuple[str, float, MaskKey]  # evaluation corpus, gain, and a mask whose fraction and emotion are left open


def next_round(sweep: Sweep, planned: Plan, folder: StoreFolder, model: str) -> dict[str, tuple[Cell, ...]]:
    """By study, the cells of one model that must be asked next; empty where every search is over.

    A search whose cells failed is over too: it is never answered with a number that nobody measured.
    """
    wanted: dict[str, tuple[Cell, ...]] = {}
    for name, study in sweep.studies.items():
        if study.reach is None:
            continue
        new: list[Cell] = []
        for line, by_fraction in _lines(c for c in planned.studies[name] if c.model == model).items():
            effects = _effects(folder, model, line, study.fractions, next(iter(by_fraction.values())))
            fraction = next_fraction(study.fractions, effects, study.reach)
            if fraction is not None and fraction not in by_fraction:
                new += [_at(cell, fraction) for cell in next(iter(by_fraction.values()))]
        if new:
            wanted[name] = tuple(new)
    return wanted


def _lines(cells: Iterable[Cell]) -> Mapping[Line, dict[Decimal, list[Cell]]]:
    """The cells of each search by fraction, one per source emotion."""
    lines: dict[Line, dict[Decimal, list[Cell]]] = {}
    for cell in cells:
        if cell.mask:
            line = (cell.corpus, cell.alpha, replace(cell.mask, fraction=Decimal(0), emotion=""))
            lines.setdefault(line, {}).setdefault(cell.mask.fraction, []).append(cell)
    return lines


def _at(cell: Cell, fraction: Decimal) -> Cell:
    assert cell.mask
    return replace(cell, mask=replace(cell.mask, fraction=fraction))


def _effects(
    folder: StoreFolder, model: str, line: Line, fractions: Iterable[Decimal], like: list[Cell]
) -> dict[Decimal, float]:
    """The self–cross gap of every fraction whose cells are finished, whichever study asked for them."""
    answers = open_answers(folder, model, line[0], complete=True)
    at = {id: position for position, id in enumerate(answers.cell.values.tolist())}
    baseline = [i for i, word in enumerate(answers.intervention.values.tolist()) if word == "baseline"]
    found = {}
    for fraction in fractions:
        cells = [_at(cell, fraction) for cell in like]
        if baseline and all(cell.id in at for cell in cells):
            rows = [*baseline, *(at[cell.id] for cell in cells)]
            trials = read_trials(answers.isel(cell=rows).load())
            (group,) = trials.groups  # the cells differ in their source emotion alone
            found[fraction] = point_gap(trials, group)
    return found

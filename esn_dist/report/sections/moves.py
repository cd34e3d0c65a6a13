"""Where answers move to: of the answers that changed, how many end at the source emotion, or at no option."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from esn_dist.analysis.answer_transitions import destinations, moves
from esn_dist.analysis.flat_rows import flat_condition
from esn_dist.analysis.trials import Condition, emotions_of, read_trials
from esn_dist.report.document import Count, CsvRow, Paragraph, Section, Share, TableCell, table
from esn_dist.report.results import Results
from esn_dist.report.titles import condition_title

_EXPLANATION = "Of the answers that changed: how many, and the share that ended at the source emotion, or at no option."
PlacedMoves = tuple[str, str, Condition, xr.DataArray]  # model, corpus, condition, moves[cell, before, after]


def move_section(results: Results) -> Section:
    """A line per condition; every cell and option is in `moves.csv`."""
    placed = list(_moves(results))
    lines = [_line(*of_condition) for of_condition in placed]
    heads = ("Changed", "To the source", "To no option")
    shown = table(("Model", "Corpus", "Condition"), heads, lines, caption="Where changed answers end.")
    rows = [row for of_condition in placed for row in _rows(*of_condition)]
    return Section("moves", "Where answers move to", (Paragraph(_EXPLANATION), shown), {"moves": rows}, "Moves")


def _moves(results: Results) -> Iterator[PlacedMoves]:
    for (model, corpus), answers in results.answers.items():
        trials = read_trials(answers)
        yield from ((model, corpus, group.condition, moves(trials, group)) for group in trials.groups)


def _line(model: str, corpus: str, condition: Condition, moved: xr.DataArray) -> list[TableCell | str]:
    share, names = destinations(moved), list(moved["after"].values)
    changed = moved.values.sum(axis=(1, 2)) - np.trace(moved.values, axis1=1, axis2=2)
    sources = [[names.index(e) for e in emotions_of(str(s)) if e in names] for s in moved["source"].values]
    to_source = [
        float(share.values[cell, options].sum()) if options else np.nan for cell, options in enumerate(sources)
    ]
    shares = (_mean(to_source), _mean(share.values[:, -1].tolist()))
    return [model, corpus, condition_title(condition), Count(int(changed.sum())), *shares]


def _rows(model: str, corpus: str, condition: Condition, moved: xr.DataArray) -> Iterator[CsvRow]:
    share = destinations(moved).values
    for cell in range(moved.sizes["cell"]):
        mask = {"source": str(moved["source"].values[cell]), "mask_seed": int(moved["mask_seed"][cell])}
        head = {"model": model, "corpus": corpus, **flat_condition(condition), **mask}
        for number, option in enumerate(moved["after"].values):
            counts = moved.values[cell]
            stayed = int(counts[number, number])
            arrived, left = int(counts[:, number].sum()) - stayed, int(counts[number].sum()) - stayed
            values = {"option": str(option), "arrived": arrived, "left": left, "stayed": stayed}
            of_flips = float(share[cell, number])
            yield {**head, **values, "share_of_flips": of_flips if np.isfinite(of_flips) else None}


def _mean(values: Sequence[float]) -> Share:
    defined = [value for value in values if np.isfinite(value)]
    return Share(float(np.mean(defined)) if defined else None, 0)

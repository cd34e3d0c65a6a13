"""Do two emotions' neurons add up? The emotion × emotion matrix of every condition that ran pairs, for the report.

Knows no stores: finished answers in, matrices and rows out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Estimate, resample
from esn_dist.analysis.interaction import NoSingleCells, interaction_matrix, interactions
from esn_dist.analysis.trials import Condition, Group, Trials, read_trials
from esn_dist.report.markdown import DASH, interval, number, pipe_table
from esn_dist.report.tables import condition_title
from esn_dist.sweep.interventions import INTERVENTIONS

SINGLES = "pairs ran and their single emotions did not, so that there is no interaction"


class PairMatrix(NamedTuple):
    """`matrix` as of `analysis.interaction.interaction_matrix`."""

    model: str
    corpus: str
    condition: Condition
    matrix: xr.Dataset


def pair_matrices(
    answers: Mapping[tuple[str, str], xr.Dataset], *, draws: int, seed: int, by_speaker: bool, invalid_is_wrong: bool
) -> tuple[list[PairMatrix], list[str]]:
    """Every condition of co-deactivation or co-steering whose single emotions ran too; notes on the others.

    Args:
        answers: finished cells by model and corpus.
        draws, seed, by_speaker, invalid_is_wrong: as in `analysis.summary.summarise`.
    """
    found, notes = [], []
    for (model, corpus), dataset in answers.items():
        trials = read_trials(dataset, invalid_is_wrong=invalid_is_wrong)
        clusters = trials.speaker if by_speaker else None
        sample = resample(trials.label, len(trials.emotions), seed, corpus, draws=draws, clusters=clusters)
        for pairs in _of_pairs(trials):
            try:
                matrix = interaction_matrix(interactions(trials, pairs, sample))
                found.append(PairMatrix(model, corpus, pairs.condition, matrix))
            except NoSingleCells:
                notes.append(f"{model} on {corpus}, {condition_title(pairs.condition)}: {SINGLES}")
    return found, notes


def pair_rows(found: list[PairMatrix]) -> Iterator[dict[str, Any]]:
    """One row per pair: the interaction on its own emotions and on the others, undefined values None."""
    for model, corpus, condition, matrix in found:
        for (first, second), a, b in _upper(matrix):
            values = {
                f"{name}{'' if bound == 'point' else f'_{bound}'}": None if np.isnan(value) else float(value)
                for name in ("own", "others")
                for bound, value in zip(matrix["bound"].values, matrix[name].values[a, b], strict=True)
            }
            yield {"model": model, "corpus": corpus, **asdict(condition), "first": first, "second": second, **values}


def pair_section(found: list[PairMatrix]) -> Iterator[str]:
    """As Markdown; nothing where no pair ran."""
    if not found:
        return
    yield "## Interaction of two emotions' neurons"
    yield (
        "Δ(both masks) − Δ(first) − Δ(second) in percentage points, mean over the pair's two emotions, with 95 % "
        "bootstrap intervals. 0: they act independently; negative under co-deactivation: together they hurt more than "
        "their sum."
    )
    for model, corpus, condition, matrix in found:
        emotions = [str(name) for name in matrix["first"].values]
        yield f"### {model} on {corpus}: {condition_title(condition)}"
        values = matrix["own"].values
        yield pipe_table(
            ["", *emotions],
            [[name, *(_cell(values[a, b]) for b in range(len(emotions)))] for a, name in enumerate(emotions)],
        )


def _of_pairs(trials: Trials) -> Iterator[Group]:
    pairs = {name for name, entry in INTERVENTIONS.items() if entry.masks == "pair" and entry.single_type}
    return (g for g in trials.groups if g.condition.intervention in pairs and g.has_sources)


def _upper(matrix: xr.Dataset) -> Iterator[tuple[tuple[str, str], int, int]]:
    names = [str(name) for name in matrix["first"].values]
    for a, first in enumerate(names):
        for b in range(a + 1, len(names)):
            if np.isfinite(matrix["own"].values[a, b, 0]):
                yield (first, names[b]), a, b


def _cell(bounds: Any) -> str:
    if np.isnan(bounds[0]):
        return DASH
    point, low, high = (None if np.isnan(bound) else float(bound) for bound in bounds)
    return f"{number(point)} {interval(Estimate(point, low, high))}".rstrip()

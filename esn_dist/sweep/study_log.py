"""What the run log keeps of the plan's studies, so that a report need not read the YAML of earlier runs.

Knows no store.
"""

from __future__ import annotations

from collections.abc import Iterable

from esn_dist.store.run_log import LoggedStudy, StudyCondition
from esn_dist.sweep.keys import Cell
from esn_dist.sweep.plan import Plan
from esn_dist.sweep.spec import Sweep
from esn_dist.terms import JOIN


def logged_studies(sweep: Sweep, planned: Plan) -> list[LoggedStudy]:
    """The studies of `sweep`; those that search (`reach`) with every condition that they search."""
    return [
        LoggedStudy(
            name,
            study.reach,
            tuple(str(fraction) for fraction in study.fractions),
            () if study.reach is None else _conditions(planned.studies[name]),
        )
        for name, study in sweep.studies.items()
    ]


def _conditions(cells: Iterable[Cell]) -> tuple[StudyCondition, ...]:
    """Each once; the cells of a condition differ in emotion and fraction."""
    conditions = (_condition(cell) for cell in cells)
    return tuple(dict.fromkeys(condition for condition in conditions if condition))


def _condition(cell: Cell) -> StudyCondition | None:
    mask = cell.mask
    if mask is None:
        return None
    return StudyCondition(
        model=cell.model,
        corpus=cell.corpus,
        intervention=str(cell.intervention),
        selector=str(mask.selector),
        source_corpus=mask.corpus,
        alpha=cell.alpha,
        identification_size=mask.size if isinstance(mask.size, int) else 0,
        parts=JOIN.join(mask.parts),
    )

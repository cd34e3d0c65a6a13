"""Effect rows in the arrangement of the paper's Table 1: a column per selector, interventions side by side.

Knows no markup and no numbers: which rows belong to which table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from esn_dist.analysis.summary import EffectRow
from esn_dist.report.numbers import fraction_text
from esn_dist.report.titles import ALL_PARTS, condition_intervention, identification_title, masks_title, place_title
from esn_dist.sweep.interventions import INTERVENTIONS
from esn_dist.sweep.selectors import RND


class MaskOrigin(NamedTuple):
    """How the masks of a table were identified.

    Attributes:
        fraction: r.
        transfer_from: another source corpus than the evaluation corpus, else "".
        identification_size: utterances per emotion that a study requested; 0 = as many as all emotions have.
        parts: positions that were counted; "" = all.
    """

    fraction: float
    transfer_from: str
    identification_size: int
    parts: str

    @property
    def title(self) -> str:
        """`, masks from studio, 50 utterances per emotion, r = 10 %`."""
        identified = identification_title(self.identification_size, self.parts)
        return f"{masks_title(self.transfer_from)}{identified}, r = {fraction_text(self.fraction)}"


@dataclass(frozen=True, slots=True)
class InterventionColumns:
    """One intervention of a table: a column per selector."""

    title: str
    rows: tuple[EffectRow, ...]

    @property
    def selectors(self) -> tuple[str, ...]:
        """Heads of the columns."""
        return tuple(row.condition.selector for row in self.rows)

    @property
    def agnostic(self) -> bool:
        """Whether it commits to no source emotion (the paper's Table 2)."""
        return all(is_agnostic(row.condition.intervention) for row in self.rows)


@dataclass(frozen=True, slots=True)
class EffectTable:
    """All interventions of one model × corpus × origin of the masks."""

    model: str
    corpus: str
    origin: MaskOrigin
    interventions: tuple[InterventionColumns, ...]

    @property
    def title(self) -> str:
        """`tiny on studio, r = 10 %`."""
        return place_title(self.model, self.corpus) + self.origin.title


Key = tuple[str, str, MaskOrigin]


def effect_tables(rows: Iterable[EffectRow]) -> list[EffectTable]:
    """Tables in the order of the rows; columns in the order of their selectors.

    RND uses no counts: it is in every table of its fraction, whatever the other masks were identified from. The
    budget is what is equal, as in the paper; a mask may be smaller than its budget.
    """
    rows = list(rows)
    keys = dict.fromkeys(_key(row) for row in rows if row.condition.selector != RND)
    alone = [_key(row) for row in rows if not any(_belongs(row, key) for key in keys)]
    return [EffectTable(*key, _interventions(rows, key)) for key in dict.fromkeys((*keys, *alone))]


def mask_origin(row: EffectRow) -> MaskOrigin:
    """How the masks of a row were identified, without what is the same for all masks of its corpus."""
    condition = row.condition
    transfer = condition.source_corpus if condition.source_corpus != row.corpus else ""
    parts = condition.parts if condition.parts != ALL_PARTS else ""
    return MaskOrigin(condition.fraction, transfer, max(condition.identification_size, 0), parts)


def is_agnostic(intervention: str) -> bool:
    """Whether a type of intervention commits to no source emotion."""
    entry = INTERVENTIONS.get(intervention)
    return entry is not None and entry.agnostic


def _key(row: EffectRow) -> Key:
    return row.model, row.corpus, mask_origin(row)


def _belongs(row: EffectRow, key: Key) -> bool:
    """Whether a row is a column of the table `key`."""
    model, corpus, origin = key
    same_budget = (row.model, row.corpus, row.condition.fraction) == (model, corpus, origin.fraction)
    return _key(row) == key or (row.condition.selector == RND and same_budget)


def _interventions(rows: Sequence[EffectRow], key: Key) -> tuple[InterventionColumns, ...]:
    columns: dict[str, list[EffectRow]] = {}
    for row in rows:
        if _belongs(row, key):
            columns.setdefault(condition_intervention(row.condition), []).append(row)
    # RND may have run under more interventions than these masks.
    shared = {title: members for title, members in columns.items() if any(_key(row) == key for row in members)}
    return tuple(InterventionColumns(title, tuple(members)) for title, members in shared.items())

"""Effect rows in the shape of the paper's Table 1, still as numbers; and as plain dicts for `--json`.

Knows neither stores nor markup: who prints decides how a missing value looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.flat_rows import flat_effect
from esn_dist.analysis.summary import EffectRow
from esn_dist.analysis.trials import Condition
from esn_dist.sweep import interventions
from esn_dist.sweep.interventions import INTERVENTIONS, TEMPERATURE, InterventionParameters
from esn_dist.sweep.selectors import RND
from esn_dist.terms import PARTS

ALL_PARTS = "+".join(PARTS)
AGNOSTIC = tuple(name for name, entry in INTERVENTIONS.items() if entry.agnostic)
MEAN = "Mean Change"
Identified = tuple[float, str, int, str]  # fraction, another source corpus, size, parts
Key = tuple[str, str, *Identified]


@dataclass(frozen=True, slots=True)
class Half:
    """One intervention (the paper: deactivation left, steering right): a column per selector, a line per readout."""

    title: str
    columns: tuple[EffectRow, ...]

    @property
    def selectors(self) -> tuple[str, ...]:
        """Heads of the columns."""
        return tuple(row.condition.selector for row in self.columns)

    @property
    def agnostic(self) -> bool:
        """Whether it commits to no source emotion (the paper's Table 2)."""
        return all(row.condition.intervention in AGNOSTIC for row in self.columns)

    @property
    def effects(self) -> dict[str, tuple[Estimate, ...]]:
        """Accuracy changes in percentage points: line → a value per column."""
        own = tuple(row.self_effect for row in self.columns)
        if self.agnostic:
            return {MEAN: own}
        return {
            "Self-Effect": own,
            "Cross-Effect Avg.": tuple(row.cross_effect for row in self.columns),
            "Self-Cross Gap": tuple(row.gap for row in self.columns),
        }

    @property
    def margins(self) -> dict[str, tuple[Estimate, ...]]:
        """Changes of the log-probability margin in nats, and of the source emotion's answer rate in points."""
        return {
            "Self": tuple(row.margin_self for row in self.columns),
            "Cross": tuple(row.margin_cross for row in self.columns),
        }

    @property
    def source_rates(self) -> tuple[Estimate, ...]:
        """Change of how often the source emotion is answered elsewhere, in points: a value per column."""
        return tuple(row.source_rate for row in self.columns)


@dataclass(frozen=True, slots=True)
class EffectTable:
    """All interventions of one model × corpus × fraction × way of identifying.

    Attributes:
        transfer_from: another source corpus, else "".
        identification_size: utterances per emotion that a study asked for; 0 = as many as all emotions have.
        parts: positions that were counted; "" = all.
    """

    model: str
    corpus: str
    fraction: float
    transfer_from: str
    identification_size: int
    parts: str
    halves: tuple[Half, ...]


def effect_tables(rows: Iterable[EffectRow]) -> list[EffectTable]:
    """Tables in the order of the rows; columns in the order of their selectors.

    RND rests on no counts: it stands beside all masks of its fraction, wherever and however these were identified, of
    another corpus and of files too. The budget is what is equal, as in the paper; a mask may fall short of its budget.
    """
    rows = list(rows)
    keys = dict.fromkeys(_key(row) for row in rows if row.condition.selector != RND)
    alone = [_key(row) for row in rows if not any(_beside(row, key) for key in keys)]
    return [EffectTable(*key, _halves(rows, key)) for key in dict.fromkeys((*keys, *alone))]


def identification_of(row: EffectRow) -> Identified:
    """How the masks of a row were found, as in `EffectTable`: fraction, another source corpus, size, parts."""
    condition = row.condition
    transfer = condition.source_corpus if condition.source_corpus != row.corpus else ""
    parts = condition.parts if condition.parts != ALL_PARTS else ""
    return condition.fraction, transfer, max(condition.identification_size, 0), parts


def _key(row: EffectRow) -> Key:
    return (row.model, row.corpus, *identification_of(row))


def _beside(row: EffectRow, key: Key) -> bool:
    """Whether a row stands in the table `key`."""
    own = _key(row)
    return own == key or (row.condition.selector == RND and own[:3] == key[:3])


def _halves(rows: Sequence[EffectRow], key: Key) -> tuple[Half, ...]:
    halves: dict[str, list[EffectRow]] = {}
    for row in rows:
        if _beside(row, key):
            condition = row.condition
            title = intervention_title(condition.intervention, condition.alpha, condition.tau)
            halves.setdefault(title, []).append(row)
    # RND may have run under more interventions than these masks.
    own = {title: columns for title, columns in halves.items() if any(_key(row) == key for row in columns)}
    return tuple(Half(title, tuple(columns)) for title, columns in own.items())


def json_rows(rows: Sequence[EffectRow]) -> list[dict[str, object]]:
    """One plain dict per row, for `--json`: undefined values are None (null), there is no NaN.

    `tau`, `identification_size` and `parts` are in every row, so that no two rows of a sweep say the same.
    """
    return [{**flat_effect(row), "sources": list(row.sources)} for row in rows]


def intervention_title(intervention: str, alpha: float, tau: float = 0.0) -> str:
    """`Deactivation`, `Targeted steering, α = 0.3`, or `Mix, α = 0.3, τ = 0.5`."""
    parameters = InterventionParameters.of({TEMPERATURE.name: tau} if tau else {})
    return interventions.intervention_title(intervention, alpha, parameters)


def identification_title(identification_size: int, parts: str) -> str:
    """`, 50 utterances per emotion, audio positions`; "" for the defaults."""
    size = f", {identification_size} utterances per emotion" if identification_size > 0 else ""
    return size + (f", {parts} positions" if parts not in ("", ALL_PARTS) else "")


def condition_title(condition: Condition) -> str:
    """`Deactivation, ConAct, r = 10 %, masks from studio`."""
    masks = f", masks from {condition.source_corpus}" if condition.source_corpus else ""
    identified = identification_title(condition.identification_size, condition.parts)
    title = intervention_title(condition.intervention, condition.alpha, condition.tau)
    return f"{title}, {condition.selector}, r = {100 * condition.fraction:g} %{masks}{identified}"

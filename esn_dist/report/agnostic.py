"""The paper's Table 2 in its own layout: accuracy under agnostic injection by corpus and model, gain after gain.

Every line of masks has the plain steering of random masks beside it, as in the paper; a line RND below holds the same
interventions with random masks, a line "published" the paper's numbers. Knows no stores: rows in, tables out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.markdown import DASH, pipe_table
from esn_dist.report.published import AGNOSTIC as PAPER_MASKS
from esn_dist.report.published import paper_corpora, table_2
from esn_dist.report.tables import AGNOSTIC, identification_of, identification_title
from esn_dist.sweep.interventions import BASELINE, INTERVENTIONS, STEER
from esn_dist.sweep.selectors import RND

PUBLISHED = "published"


class Column(NamedTuple):
    """What is done: plain steering (of random masks), 2-Pass, Mix or Union, at a gain; `tau` is 0 unless Mix."""

    alpha: float
    intervention: str
    tau: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """Accuracies in percent of one model on one corpus.

    Attributes:
        masks: the selector; "RND": random masks in the same interventions; "published": the paper's line.
        unmasked: without intervention.
        values: by column: measured; of the paper's line as printed, with a dagger where it is flagged.
        invalid: the largest rate, within 0..1, of answers that name no option, of the line's cells.
    """

    corpus: str
    model: str
    masks: str
    unmasked: Estimate | str
    values: Mapping[Column, Estimate | str]
    invalid: float | None = None


@dataclass(frozen=True, slots=True)
class AgnosticTable:
    """All corpora and models of one fraction and one way of identifying; `tau` where all of Mix has the same one."""

    fraction: float
    transfer_from: str
    identification_size: int
    parts: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """`Agnostic injection, r = 0.5 %, τ = 0.5: accuracy (%)`."""
        masks = f", masks from {self.transfer_from}" if self.transfer_from else ""
        identified = identification_title(self.identification_size, self.parts)
        tau = f", τ = {self._taus[0]:g}" if len(self._taus) == 1 else ""
        return f"Agnostic injection, r = {100 * self.fraction:g} %{tau}{masks}{identified}: accuracy (%)"

    @property
    def gains(self) -> dict[float, list[str]]:
        """Heads of the columns by gain: RND, 2-Pass, Mix, Union; Mix with its τ where there are several."""
        heads: dict[float, list[str]] = {}
        for column in self.columns:
            tau = f" τ = {column.tau:g}" if column.tau and len(self._taus) > 1 else ""
            name = RND if column.intervention == STEER else INTERVENTIONS[column.intervention].title
            heads.setdefault(column.alpha, []).append(name + tau)
        return heads

    @property
    def _taus(self) -> list[float]:
        return sorted({column.tau for column in self.columns if column.tau})


def agnostic_tables(
    rows: Iterable[EffectRow],
    baselines: Iterable[BaselineRow],
    registered: Mapping[str, str],
    emotions: Mapping[str, Sequence[str]],
) -> list[AgnosticTable]:
    """One table per fraction and way of identifying that any selector but RND has; none where nothing is agnostic.

    Args:
        rows, baselines: of `analysis.summary`.
        registered, emotions: as in `published.comparisons`.
    """
    shown = [row for row in rows if row.corpus != ALL and _belongs(row)]
    unmasked = {(b.corpus, b.model): b.accuracy for b in baselines if b.emotion == ALL}
    keys = dict.fromkeys(identification_of(row) for row in shown if row.condition.selector != RND)
    return [_table(key, shown, unmasked, registered, paper_corpora(emotions)) for key in keys]


def agnostic_rows(tables: Iterable[AgnosticTable]) -> Iterator[dict[str, Any]]:
    """For CSV, in the layout of the tables: a row per line, a column per gain and intervention, without intervals."""
    for table in tables:
        for line in table.lines:
            said = {"fraction": table.fraction, "masks_from": table.transfer_from or line.corpus}
            said |= {"identification_size": table.identification_size, "parts": table.parts}
            values = {_csv_name(column): _point(line.values.get(column)) for column in table.columns}
            head = {"corpus": line.corpus, "model": line.model, "masks": line.masks}
            yield {**head, **said, "unmasked": _point(line.unmasked), **values, "most_invalid": line.invalid}


def agnostic_section(tables: Sequence[AgnosticTable]) -> Iterator[str]:
    """As Markdown; nothing where nothing is agnostic."""
    if not tables:
        return
    yield "## Agnostic injection (Table 2)"
    yield (
        "Accuracy in percent. Columns RND: random masks under plain steering, as in the paper; lines RND: random masks "
        "under 2-Pass, Mix and Union themselves. Published: ConAct, r = 0.5 %, τ = 0.5, for the same "
        "model and corpus alone; † marks what is inconsistent in the paper itself. Invalid: the largest rate of a "
        "line's cells."
    )
    for table in tables:
        yield f"### {table.title}"
        names = [f"α = {alpha:g}: {name}" for alpha, of_gain in table.gains.items() for name in of_gain]
        heads = ["Corpus", "Model", "Masks", "Unmasked", *names, "Invalid ≤"]
        yield pipe_table(heads, [_texts(line, table.columns) for line in table.lines], texts=3)


def _belongs(row: EffectRow) -> bool:
    steered = row.condition.selector == RND and row.condition.intervention == STEER
    return steered or row.condition.intervention in AGNOSTIC


def _table(
    key: tuple[float, str, int, str],
    rows: Sequence[EffectRow],
    unmasked: Mapping[tuple[str, str], Estimate],
    registered: Mapping[str, str],
    known: set[str],
) -> AgnosticTable:
    own = [row for row in rows if row.condition.selector != RND and identification_of(row) == key]
    random = [row for row in rows if row.condition.selector == RND and row.condition.fraction == key[0]]
    gains = {row.condition.alpha for row in own}
    found = {_column(row) for row in (*own, *random) if row.condition.alpha in gains}
    order = [STEER, *AGNOSTIC]
    columns = tuple(sorted(found, key=lambda c: (c.alpha, order.index(c.intervention), c.tau)))
    places = sorted(dict.fromkeys((row.corpus, row.model) for row in own))
    lines: list[Line] = []
    for corpus, model in places:
        here = [row for row in (*own, *random) if (row.corpus, row.model) == (corpus, model)]
        lines += _measured(corpus, model, here, unmasked[corpus, model])
        if (
            corpus in known
            and key == (PAPER_MASKS[1], "", key[2], "")
            and PAPER_MASKS[0] in {r.condition.selector for r in here}
        ):
            lines += _published(corpus, model, registered.get(model, model), columns)
    return AgnosticTable(*key, columns, tuple(lines))


def _measured(corpus: str, model: str, rows: Sequence[EffectRow], unmasked: Estimate) -> Iterator[Line]:
    """A line per selector, with RND's plain steering in each; RND's own interventions last."""
    by_selector: dict[str, dict[Column, Estimate | str]] = {}
    invalid: dict[str, float] = {}
    for row in rows:
        if row.invalid_rate is not None:
            invalid[row.condition.selector] = max(row.invalid_rate, invalid.get(row.condition.selector, 0.0))
        by_selector.setdefault(row.condition.selector, {})[_column(row)] = row.accuracy
    random = by_selector.pop(RND, {})
    steered = {column: value for column, value in random.items() if column.intervention == STEER}
    controls = {column: value for column, value in random.items() if column not in steered}
    for selector, values in by_selector.items():
        yield Line(corpus, model, selector, unmasked, {**steered, **values}, invalid.get(selector))
    if controls:
        yield Line(corpus, model, RND, unmasked, controls, invalid.get(RND))


def _published(corpus: str, model: str, name: str, columns: Sequence[Column]) -> Iterator[Line]:
    """The paper's line, where it has this model on this corpus and a column that was measured."""
    printed = table_2(name, corpus)
    values = {c: printed[key] for c in columns if (key := (c.intervention, c.alpha, c.tau)) in printed}
    if printed:
        yield Line(corpus, model, PUBLISHED, printed[BASELINE, 0.0, 0.0], dict(values))


def _column(row: EffectRow) -> Column:
    return Column(row.condition.alpha, row.condition.intervention, row.condition.tau)


def _csv_name(column: Column) -> str:
    name = "rnd" if column.intervention == STEER else column.intervention
    return f"{name}_alpha_{column.alpha:g}" + (f"_tau_{column.tau:g}" if column.tau else "")


def _point(value: Estimate | str | None) -> float | str | None:
    return value.point if isinstance(value, Estimate) else value


def _texts(line: Line, columns: Sequence[Column]) -> list[str]:
    values = [line.unmasked, *(line.values.get(column) for column in columns)]
    invalid = DASH if line.invalid is None else f"{100 * line.invalid:.1f} %"
    return [line.corpus, line.model, line.masks, *map(_text, values), invalid]


def _text(value: Estimate | str | None) -> str:
    """`48.4 [45.1, 51.7]`, what was printed, or a dash."""
    if value is None or isinstance(value, str):
        return value or DASH
    if value.point is None:
        return DASH
    return f"{value.point:.1f}" + ("" if value.low is None else f" [{value.low:.1f}, {value.high:.1f}]")

"""The paper's Table 2: accuracy under agnostic injection by corpus, model and masks, gain after gain.

Every line of masks has the plain steering of random masks in the first column, as in the paper. A line RND holds the
same interventions with random masks, a line "published" the paper's numbers. Knows no stores and no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.document import CsvRow
from esn_dist.report.effect_tables import MaskOrigin, is_agnostic, mask_origin
from esn_dist.report.published import PAPER_FRACTION, PAPER_SELECTOR, paper_corpora, published_table_2
from esn_dist.sweep.interventions import (
    BASELINE,
    INTERVENTIONS,
    NO_PARAMETERS,
    STEER,
    InterventionParameters,
    parameters_title,
)
from esn_dist.sweep.selectors import RND

PUBLISHED = "published"
AgnosticValue = Estimate | str  # measured, or as the paper prints it


class AgnosticColumn(NamedTuple):
    """Plain steering (of random masks), 2-Pass, Mix, Union or another agnostic type at a gain."""

    alpha: float
    intervention: str
    parameters: InterventionParameters = NO_PARAMETERS

    @property
    def csv_name(self) -> str:
        """`mix_alpha_0.3_tau_0.5`."""
        name = "rnd" if self.intervention == STEER else self.intervention
        parameters = "".join(f"_{key}_{value:g}" for key, value in self.parameters.values)
        return f"{name}_alpha_{self.alpha:g}{parameters}"


@dataclass(frozen=True, slots=True)
class AgnosticLine:
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
    unmasked: AgnosticValue
    values: Mapping[AgnosticColumn, AgnosticValue]
    invalid: float | None = None


@dataclass(frozen=True, slots=True)
class AgnosticTable:
    """All corpora and models of one origin of the masks."""

    origin: MaskOrigin
    columns: tuple[AgnosticColumn, ...]
    lines: tuple[AgnosticLine, ...]

    @property
    def title(self) -> str:
        """`Agnostic injection, r = 0.5 %, τ = 0.5: accuracy (%)`."""
        shared = [titles[0] for titles in self._parameter_titles.values() if len(titles) == 1]
        return f"Agnostic injection{self.origin.title}{''.join(shared)}: accuracy (%)"

    @property
    def gains(self) -> dict[float, list[str]]:
        """Heads of the columns by gain: RND, 2-Pass, Mix, Union; with parameters where these have several values."""
        heads: dict[float, list[str]] = {}
        for column in self.columns:
            name = RND if column.intervention == STEER else INTERVENTIONS[column.intervention].title
            several = len(self._parameter_titles.get(column.intervention, ())) > 1
            title = parameters_title(column.intervention, column.parameters) if several else ""
            heads.setdefault(column.alpha, []).append(name + title.replace(",", ""))
        return heads

    @property
    def _parameter_titles(self) -> dict[str, list[str]]:
        """The different parameters of each type that has some."""
        titles: dict[str, list[str]] = {}
        for column in sorted(self.columns, key=lambda column: column.parameters):
            title = parameters_title(column.intervention, column.parameters)
            if title and title not in titles.setdefault(column.intervention, []):
                titles[column.intervention].append(title)
        return titles


def agnostic_tables(
    rows: Iterable[EffectRow],
    baselines: Iterable[BaselineRow],
    registered: Mapping[str, str],
    emotions: Mapping[str, Sequence[str]],
) -> list[AgnosticTable]:
    """One table per origin of masks that any selector but RND has; none where nothing is agnostic.

    Args:
        rows, baselines: of `analysis.summary`.
        registered, emotions: as in `published.comparisons`.
    """
    shown = [row for row in rows if row.corpus != ALL and _belongs(row)]
    unmasked = {(row.corpus, row.model): row.accuracy for row in baselines if row.emotion == ALL}
    origins = dict.fromkeys(mask_origin(row) for row in shown if row.condition.selector != RND)
    paper = _Paper(registered, paper_corpora(emotions))
    return [_table(origin, shown, unmasked, paper) for origin in origins]


def agnostic_csv(tables: Iterable[AgnosticTable]) -> Iterator[CsvRow]:
    """A row per line, a column per gain and intervention, without intervals."""
    for table in tables:
        fraction, transfer_from, size, parts = table.origin
        for line in table.lines:
            head = {"corpus": line.corpus, "model": line.model, "masks": line.masks, "fraction": fraction}
            origin = {"masks_from": transfer_from or line.corpus, "identification_size": size, "parts": parts}
            values = {column.csv_name: _point(line.values.get(column)) for column in table.columns}
            yield {**head, **origin, "unmasked": _point(line.unmasked), **values, "most_invalid": line.invalid}


@dataclass(frozen=True, slots=True)
class _Paper:
    """What of a sweep the paper has: registered models by name, and corpora with the paper's emotions."""

    registered: Mapping[str, str] = field(default_factory=dict)
    corpora: frozenset[str] = frozenset()


def _belongs(row: EffectRow) -> bool:
    condition = row.condition
    return is_agnostic(condition.intervention) or (condition.selector == RND and condition.intervention == STEER)


def _table(
    origin: MaskOrigin, rows: Sequence[EffectRow], unmasked: Mapping[tuple[str, str], Estimate], paper: _Paper
) -> AgnosticTable:
    selected = [row for row in rows if row.condition.selector != RND and mask_origin(row) == origin]
    random = [row for row in rows if row.condition.selector == RND and row.condition.fraction == origin.fraction]
    columns = _columns(selected, random)
    lines: list[AgnosticLine] = []
    for corpus, model in sorted({(row.corpus, row.model) for row in selected}):
        of_place = [row for row in (*selected, *random) if (row.corpus, row.model) == (corpus, model)]
        lines += _measured(corpus, model, of_place, unmasked[corpus, model])
        if corpus in paper.corpora and _as_in_paper(origin, of_place):
            lines += _published(corpus, model, paper.registered.get(model, model), columns)
    return AgnosticTable(origin, columns, tuple(lines))


def _columns(selected: Sequence[EffectRow], random: Sequence[EffectRow]) -> tuple[AgnosticColumn, ...]:
    """Gains of the selected masks; at each, plain steering first, then the types in the order of their registry."""
    gains = {row.condition.alpha for row in selected}
    columns = {_column(row) for row in (*selected, *random) if row.condition.alpha in gains}
    order = [STEER, *(name for name, entry in INTERVENTIONS.usable().items() if entry.agnostic)]
    return tuple(sorted(columns, key=lambda c: (c.alpha, order.index(c.intervention), c.parameters)))


def _as_in_paper(origin: MaskOrigin, rows: Sequence[EffectRow]) -> bool:
    as_printed = origin._replace(fraction=PAPER_FRACTION, transfer_from="", parts="")
    return origin == as_printed and any(row.condition.selector == PAPER_SELECTOR for row in rows)


def _measured(corpus: str, model: str, rows: Sequence[EffectRow], unmasked: Estimate) -> Iterator[AgnosticLine]:
    """A line per selector, with RND's plain steering in each; RND's own interventions last."""
    by_selector: dict[str, dict[AgnosticColumn, AgnosticValue]] = {}
    invalid: dict[str, float] = {}
    for row in rows:
        selector = row.condition.selector
        if row.invalid_rate is not None:
            invalid[selector] = max(row.invalid_rate, invalid.get(selector, 0.0))
        by_selector.setdefault(selector, {})[_column(row)] = row.accuracy
    random = by_selector.pop(RND, {})
    steered = {column: value for column, value in random.items() if column.intervention == STEER}
    controls = {column: value for column, value in random.items() if column not in steered}
    for selector, values in by_selector.items():
        yield AgnosticLine(corpus, model, selector, unmasked, {**steered, **values}, invalid.get(selector))
    if controls:
        yield AgnosticLine(corpus, model, RND, unmasked, controls, invalid.get(RND))


def _published(corpus: str, model: str, registered: str, columns: Sequence[AgnosticColumn]) -> Iterator[AgnosticLine]:
    """The paper's line, where it has this model on this corpus."""
    printed = published_table_2(registered, corpus)
    values = {column: printed[key] for column in columns if (key := _printed_key(column)) in printed}
    if printed:
        yield AgnosticLine(corpus, model, PUBLISHED, printed[BASELINE, 0.0, NO_PARAMETERS], values)


def _printed_key(column: AgnosticColumn) -> tuple[str, float, InterventionParameters]:
    return column.intervention, column.alpha, column.parameters


def _column(row: EffectRow) -> AgnosticColumn:
    return AgnosticColumn(row.condition.alpha, row.condition.intervention, row.condition.parameters)


def _point(value: AgnosticValue | None) -> float | str | None:
    return value.point if isinstance(value, Estimate) else value

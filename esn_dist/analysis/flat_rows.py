"""Rows as plain mappings from column to value: the columns of CSV files, of `--json` and of datasets.

The only place that spells these columns. Undefined values are None. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import BaselineRow, EffectRow
from esn_dist.analysis.trials import Condition
from esn_dist.sweep.interventions import InterventionParameters

ColumnValue = str | int | float | bool | None
FlatRow = dict[str, ColumnValue]
CONDITION_COLUMNS = (
    "selector", "intervention", "alpha", "fraction", "source_corpus", "tau", "identification_size", "parts",
    "parameters",
)  # fmt: skip


def flat_condition(condition: Condition) -> FlatRow:
    """The columns of a condition; `parameters` is JSON, and `tau` repeats the temperature (0 without a temperature)."""
    known = {field.name: getattr(condition, field.name) for field in fields(condition) if field.name != "parameters"}
    derived = {"tau": dict(condition.parameters.values).get("tau", 0.0), "parameters": condition.parameters.json}
    return {name: {**known, **derived}[name] for name in CONDITION_COLUMNS}


def condition_from(columns: Mapping[str, ColumnValue]) -> Condition:
    """The inverse of `flat_condition`, of which the column `tau` is not read."""
    known = {field.name: columns[field.name] for field in fields(Condition) if field.name != "parameters"}
    return Condition(**known, parameters=InterventionParameters.from_json(str(columns["parameters"])))  # type: ignore[arg-type]


def flat_estimate(name: str, estimate: Estimate, bounds: str | None = None) -> FlatRow:
    """The columns `name`, `name_low` and `name_high`; `bounds` is another prefix of the latter two."""
    prefix = f"{name}_" if bounds is None else bounds
    return {name: estimate.point, f"{prefix}low": estimate.low, f"{prefix}high": estimate.high}


def flat_effect(row: EffectRow) -> FlatRow:
    """One effect row, its source emotions separated by blanks.

    `self_low`, `self_high`, `cross_low` and `cross_high` are older names of `self_effect_low` and so on.
    """
    condition = flat_condition(row.condition)
    first = ("selector", "intervention", "alpha", "fraction", "source_corpus")
    return {
        "model": row.model,
        "corpus": row.corpus,
        **{name: condition.pop(name) for name in first},
        "sources": " ".join(row.sources),
        **flat_estimate("self_effect", row.self_effect, bounds="self_"),
        **flat_estimate("cross_effect", row.cross_effect, bounds="cross_"),
        **flat_estimate("gap", row.gap),
        "seeds_sd": row.seeds_sd,
        **flat_estimate("margin_self", row.margin_self),
        **flat_estimate("margin_cross", row.margin_cross),
        **flat_estimate("source_rate", row.source_rate),
        "invalid_rate": row.invalid_rate,
        "utterances": row.utterances,
        "missing": row.missing_pairs,
        **asdict(row.missing),
        **condition,
        **flat_estimate("accuracy", row.accuracy),
        **flat_estimate("self_effect", row.self_effect),
        **flat_estimate("cross_effect", row.cross_effect),
        "missing_pairs": row.missing_pairs,
    }


def json_effect(row: EffectRow) -> dict[str, ColumnValue | list[str]]:
    """As `flat_effect`, its source emotions a list."""
    return {**flat_effect(row), "sources": list(row.sources)}


def flat_baseline(row: BaselineRow) -> FlatRow:
    """One baseline row; `low` and `high` are older names of `accuracy_low` and `accuracy_high`."""
    return {
        "model": row.model,
        "corpus": row.corpus,
        "emotion": row.emotion,
        **flat_estimate("accuracy", row.accuracy, bounds=""),
        "invalid_rate": row.invalid_rate,
        "utterances": row.utterances,
        **asdict(row.missing),
        **flat_estimate("accuracy", row.accuracy),
    }

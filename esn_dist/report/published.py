"""The paper's published numbers against the measured ones, for the same model, corpus, fraction and gain alone.

The data (`published.json`) is the paper's text as printed; what looks wrong there is flagged, never corrected. Knows no
stores: rows come in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.report.identification_pools import PoolSize
from esn_dist.sweep.interventions import (
    BASELINE,
    DEACTIVATE,
    MIX,
    STEER,
    TEMPERATURE,
    TWO_PASS,
    UNION,
    InterventionParameters,
    parameters_title,
)
from esn_dist.sweep.selectors import RND

EFFECT_TABLES = {"iemocap": (5, 8), "meld": (6, 9), "msp-podcast": (7, 10)}
MACRO = "macro-average"
POOL_SIZE = "correctly_answered_pool_size"
IDENTIFICATION_SIZE = "maximum_identification_set_size_per_emotion"
EVALUATION_SIZE = "evaluation_set_size_per_emotion"
# Printed in no caption; Tables 2 and 8-10 agree at this gain alone (published.json, "inferred").
STEERING_GAIN = 0.3
# Table 2 prints neither the selector nor r of its masks; these are the ones that the paper settles on.
PAPER_SELECTOR = "ConAct"
PAPER_FRACTION = 0.005
TABLE_2_TYPES = {
    STEER: "rnd",  # the RND column is plain steering of random neurons: it agrees with Tables 8-10
    TWO_PASS: "two-pass",
    MIX: "mix",
    UNION: "union",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published number and what was measured under the same name.

    Attributes:
        table: number of the paper's table.
        intervention: `deactivate`, `steer`, `none` …; metric: `self_effect`, `cross_effect`, `self_cross_gap`, `effect`
            (RND), `accuracy` (percent), or a size of Table 4.
        measured: with the 95 % interval.
        published, printed: as a number, and the string in the paper.
        flags: ids of the inconsistencies that name this number.
        setting: what else the number is about: a gain and parameters, or an emotion.
    """

    table: int
    model: str
    corpus: str
    intervention: str
    selector: str
    metric: str
    measured: Estimate
    published: float
    printed: str
    flags: tuple[str, ...]
    setting: str = ""

    @property
    def is_change(self) -> bool:
        """Whether the number is a change, which has a sign, and not an accuracy or a size."""
        return self.metric.endswith(("effect", "gap"))

    @property
    def difference(self) -> float | None:
        """Measured − published."""
        return None if self.measured.point is None else self.measured.point - self.published


@cache
def published() -> dict[str, Any]:
    """The paper's tables, claims, and their inconsistencies."""
    text = files("esn_dist.report").joinpath("published.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def inconsistencies() -> list[dict[str, Any]]:
    """All inconsistencies of the paper: id, severity, where, explanation …"""
    return list(published()["inconsistencies"])


def comparisons(
    rows: Sequence[EffectRow],
    baselines: Sequence[BaselineRow],
    registered: Mapping[str, str],
    emotions: Mapping[str, Sequence[str]],
    pools: Sequence[PoolSize] = (),
) -> list[Comparison]:
    """Every published number that these rows measure anew.

    Args:
        rows, baselines: of `analysis.summary`.
        registered: registered model by the name of a model in the sweep.
        emotions: emotions of each corpus of the sweep; a corpus counts as the paper's where name and emotions agree.
        pools: for Table 4.
    """
    known = paper_corpora(emotions)
    models = {row.model for row in rows} | {row.model for row in baselines} | {pool.model for pool in pools}
    names = {model: registered.get(model, model) for model in models}
    compared = [c for row in rows for c in _of_effects(row, names[row.model], known, set(emotions))]
    for row in baselines:
        if row.emotion == ALL and row.corpus in known:
            compared += _of_accuracy(row, names[row.model])
            compared += _of_evaluation_set(row, names[row.model])
    compared += [c for row in rows if row.corpus in known for c in _of_agnostic(row, names[row.model])]
    compared += [c for pool in pools if pool.corpus in known for c in _of_pool(pool, names[pool.model])]
    return sorted(compared, key=lambda c: (c.table, c.model, c.corpus))


def paper_corpora(emotions: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Which of these corpora are the paper's: the same name and the same emotions."""
    paper = {name: set(words) for name, words in published()["vocabulary"]["emotions_of_corpus"].items()}
    return frozenset(name for name, words in emotions.items() if set(words) == paper.get(name))


def published_table_2(model: str, corpus: str) -> dict[tuple[str, float, InterventionParameters], str]:
    """Table 2's line of one model and corpus as printed, a dagger at flagged numbers; empty where it has none.

    Keys are intervention, gain and parameters; `baseline` is the unintervened model, `steer` the column RND.
    """
    types = {printed: name for name, printed in TABLE_2_TYPES.items()} | {"none": BASELINE}
    line = {}
    for entry in _entries(2, {"model": model, "corpus": corpus, "metric": "accuracy"}):
        temperature = entry[TEMPERATURE.name]
        parameters = InterventionParameters.of({TEMPERATURE.name: temperature} if temperature else {})
        key = types[entry["intervention"]], float(entry["alpha"] or 0), parameters
        line[key] = entry["printed"] + (" †" if _flags(2, entry) else "")
    return line


def _of_effects(row: EffectRow, model: str, known: frozenset[str], corpora: set[str]) -> Iterator[Comparison]:
    """The published numbers of one row; nothing where the paper has no such condition."""
    condition = row.condition
    table = _effect_table(row, known, corpora)
    if table is None or condition.source_corpus not in ("", row.corpus) or condition.fraction != PAPER_FRACTION:
        return
    first = "effect" if condition.selector == RND else "self_effect"
    measured = {first: row.self_effect, "cross_effect": row.cross_effect, "self_cross_gap": row.gap}
    wanted = {
        "model": model, "corpus": MACRO if row.corpus == ALL else row.corpus,
        "intervention": condition.intervention, "selector": condition.selector.lower(),
    }  # fmt: skip
    for entry in _entries(table, wanted):
        if entry["metric"] in measured:
            yield _comparison(table, entry, condition.selector, measured[entry["metric"]])


def _effect_table(row: EffectRow, known: frozenset[str], corpora: set[str]) -> int | None:
    """The corpus's own table, or Table 1 for the mean of exactly the paper's three corpora."""
    steered = row.condition.intervention == STEER and row.condition.alpha == STEERING_GAIN
    if not steered and row.condition.intervention != DEACTIVATE:
        return None
    if row.corpus == ALL:
        return 1 if known == corpora == set(EFFECT_TABLES) else None
    return EFFECT_TABLES[row.corpus][int(steered)] if row.corpus in known else None


def _of_accuracy(row: BaselineRow, model: str) -> Iterator[Comparison]:
    wanted = {"model": model, "corpus": row.corpus, "intervention": "none", "metric": "accuracy"}
    for entry in _entries(2, wanted):
        yield _comparison(2, entry, "", row.accuracy)


def _of_agnostic(row: EffectRow, model: str) -> Iterator[Comparison]:
    """Table 2's accuracy under RND, 2-Pass, Mix and Union."""
    condition = row.condition
    selector = RND if condition.intervention == STEER else PAPER_SELECTOR
    as_printed = (condition.selector, condition.fraction) == (selector, PAPER_FRACTION)
    own_masks = condition.source_corpus in ("", row.corpus)
    if not as_printed or not own_masks or condition.intervention not in TABLE_2_TYPES or row.accuracy.point is None:
        return
    temperature = dict(condition.parameters.values).get(TEMPERATURE.name)
    wanted = {"model": model, "corpus": row.corpus, "alpha": condition.alpha, TEMPERATURE.name: temperature}
    wanted |= {"intervention": TABLE_2_TYPES[condition.intervention], "metric": "accuracy"}
    setting = f"α = {condition.alpha:g}{parameters_title(condition.intervention, condition.parameters)}"
    for entry in _entries(2, wanted):
        yield _comparison(2, entry, condition.selector, row.accuracy, setting)


def _of_evaluation_set(row: BaselineRow, model: str) -> Iterator[Comparison]:
    emotions = len(published()["vocabulary"]["emotions_of_corpus"][row.corpus])
    size = row.utterances / emotions
    yield from _of_table_4({"model": model, "corpus": row.corpus, "metric": EVALUATION_SIZE}, size, "each emotion")


def _of_pool(pool: PoolSize, model: str) -> Iterator[Comparison]:
    """Pools are cut where the paper's seem to be."""
    place = {"model": model, "corpus": pool.corpus}
    correct = min(pool.correct, published()["table4"]["apparent_caps"][pool.corpus])
    yield from _of_table_4({**place, "metric": POOL_SIZE, "emotion": pool.emotion}, correct, pool.emotion)
    if pool.emotion == published()["vocabulary"]["emotions_of_corpus"][pool.corpus][0]:  # it is the same for all
        yield from _of_table_4({**place, "metric": IDENTIFICATION_SIZE}, pool.used, "each emotion")


def _of_table_4(wanted: Mapping[str, object], measured: float, setting: str) -> Iterator[Comparison]:
    for entry in _entries(4, wanted):
        estimate = Estimate(float(measured), None, None)
        yield _comparison(4, {"intervention": "none", **entry}, "", estimate, setting)


def _entries(table: int, wanted: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    rows: Iterable[dict[str, Any]] = published()[f"table{table}"]["rows"]
    return (entry for entry in rows if all(entry.get(key) == value for key, value in wanted.items()))


def _comparison(table: int, entry: dict[str, Any], selector: str, measured: Estimate, setting: str = "") -> Comparison:
    flags = _flags(table, entry)
    head = (table, entry["model"], entry["corpus"], entry["intervention"], selector, entry["metric"])
    return Comparison(*head, measured, entry["value"], entry["printed"], flags, setting)


def _flags(table: int, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the inconsistencies that name this entry."""
    return tuple(
        inconsistency["id"]
        for inconsistency in inconsistencies()
        if any(_names(cell, table, entry) for cell in inconsistency["cells"])
    )


def _names(cell: Mapping[str, Any], table: int, entry: Mapping[str, Any]) -> bool:
    """Whether an inconsistency's cell is this entry: all its keys agree, and it tells which number it means."""
    shared = {key: value for key, value in cell.items() if key in entry and key not in ("printed", "published")}
    specific = "metric" in shared or "printed" in cell
    return specific and cell.get("table") == table and all(entry[key] == value for key, value in shared.items())

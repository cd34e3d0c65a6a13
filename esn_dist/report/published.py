"""The paper's published numbers beside the measured ones, for the same model, corpus, fraction and gain alone.

The data (`published.json`) is the paper's text as printed; what looks wrong there is flagged, never mended. Knows no
stores: rows come in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from esn_dist.analysis.summary import ALL, BaselineRow, EffectRow
from esn_dist.sweep.interventions import BASELINE, DEACTIVATE, MIX, STEER, TWO_PASS, UNION
from esn_dist.sweep.selectors import RND

EFFECT_TABLES = {"iemocap": (5, 8), "meld": (6, 9), "msp-podcast": (7, 10)}
MACRO = "macro-average"
POOL_SIZE = "correctly_answered_pool_size"
IDENTIFICATION_SIZE = "maximum_identification_set_size_per_emotion"
EVALUATION_SIZE = "evaluation_set_size_per_emotion"
# Printed in no caption; Tables 2 and 8-10 agree at this gain alone (published.json, "inferred").
STEERING_GAIN = 0.3
# Table 2 prints neither the selector nor r of its masks; these are the ones that the paper settles on.
AGNOSTIC = ("ConAct", 0.005)
TABLE_2 = {
    STEER: "rnd",  # the RND column is plain steering of random neurons: it agrees with Tables 8-10
    TWO_PASS: "two-pass",
    MIX: "mix",
    UNION: "union",
}


class Pool(NamedTuple):
    """Correctly answered identification utterances of one emotion, and how many of each emotion were used."""

    model: str
    corpus: str
    emotion: str
    correct: int
    used: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published number and what was measured under the same name.

    Attributes:
        table: number of the paper's table.
        intervention: `deactivate`, `steer`, `none` …; metric: `self_effect`, `cross_effect`, `self_cross_gap`, `effect`
            (RND), `accuracy` (percent), or a size of Table 4.
        measured, low, high: with the 95 % interval; None where undefined.
        published, printed: as a number, and the string in the paper.
        flags: ids of the inconsistencies that name this number.
        setting: what else the number is about: a gain and temperature, or an emotion.
    """

    table: int
    model: str
    corpus: str
    intervention: str
    selector: str
    metric: str
    measured: float | None
    low: float | None
    high: float | None
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
        return None if self.measured is None else self.measured - self.published


@cache
def published() -> dict[str, Any]:
    """The paper's tables, claims, and the inconsistencies found in them."""
    text = files("esn_dist.report").joinpath("published.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def inconsistencies() -> list[dict[str, Any]]:
    """All that was found inconsistent in the paper: id, severity, where, explanation …"""
    return list(published()["inconsistencies"])


def comparisons(
    rows: Sequence[EffectRow],
    baselines: Sequence[BaselineRow],
    registered: Mapping[str, str],
    emotions: Mapping[str, Sequence[str]],
    pools: Sequence[Pool] = (),
) -> list[Comparison]:
    """Every published number that these rows measure anew.

    Args:
        rows, baselines: of `analysis.summary`.
        registered: registered model by the name of a model in the sweep.
        emotions: emotions of each corpus of the sweep; a corpus counts as the paper's where name and emotions agree.
        pools: for Table 4.
    """
    known = paper_corpora(emotions)
    found = [c for row in rows for c in _of_effects(row, registered.get(row.model, row.model), known, set(emotions))]
    for row in baselines:
        if row.emotion == ALL and row.corpus in known:
            found += _of_accuracy(row, registered.get(row.model, row.model))
            found += _of_evaluation_set(row, registered.get(row.model, row.model))
    found += [c for row in rows if row.corpus in known for c in _of_agnostic(row, registered.get(row.model, row.model))]
    for pool in pools:
        if pool.corpus in known:
            found += _of_pool(pool, registered.get(pool.model, pool.model))
    return sorted(found, key=lambda c: (c.table, c.model, c.corpus))


def paper_corpora(emotions: Mapping[str, Sequence[str]]) -> set[str]:
    """Which of these corpora are the paper's: the same name and the same emotions."""
    paper = {name: set(words) for name, words in published()["vocabulary"]["emotions_of_corpus"].items()}
    return {name for name, words in emotions.items() if set(words) == paper.get(name)}


def table_2(model: str, corpus: str) -> dict[tuple[str, float, float], str]:
    """Table 2's line of one model and corpus as printed, a dagger at flagged numbers; empty where it has none.

    Keys are intervention, gain and temperature; `baseline` is the unmasked model, `steer` the column RND.
    """
    types = {word: type for type, word in TABLE_2.items()} | {"none": BASELINE}
    line = {}
    for entry in _entries(2, {"model": model, "corpus": corpus, "metric": "accuracy"}):
        key = types[entry["intervention"]], float(entry["alpha"] or 0), float(entry["tau"] or 0)
        line[key] = entry["printed"] + (" †" if _flags(2, entry) else "")
    return line


def _of_effects(row: EffectRow, model: str, known: set[str], corpora: set[str]) -> Iterator[Comparison]:
    """The published line of one row: its own corpus's table, or Table 1 for the mean of exactly the paper's three."""
    whole = known == corpora == set(EFFECT_TABLES)
    steer = row.condition.intervention == STEER
    comparable = row.condition.intervention == DEACTIVATE or (steer and row.condition.alpha == STEERING_GAIN)
    own = row.condition.source_corpus in ("", row.corpus)
    if not comparable or not own or row.condition.fraction != published()["table1"]["fraction_r"]:
        return
    if row.corpus == ALL and whole:
        table, corpus = 1, MACRO
    elif row.corpus in known:
        table, corpus = EFFECT_TABLES[row.corpus][int(steer)], row.corpus
    else:
        return
    measured = {
        "effect" if row.condition.selector == RND else "self_effect": row.self_effect,
        "cross_effect": row.cross_effect,
        "self_cross_gap": row.gap,
    }
    wanted = {
        "model": model, "corpus": corpus, "intervention": row.condition.intervention,
        "selector": row.condition.selector.lower(),
    }  # fmt: skip
    for entry in _entries(table, wanted):
        if entry["metric"] in measured:
            yield _comparison(table, entry, row.condition.selector, measured[entry["metric"]])


def _of_accuracy(row: BaselineRow, model: str) -> Iterator[Comparison]:
    wanted = {"model": model, "corpus": row.corpus, "intervention": "none", "metric": "accuracy"}
    for entry in _entries(2, wanted):
        yield _comparison(2, entry, "", row.accuracy)


def _of_agnostic(row: EffectRow, model: str) -> Iterator[Comparison]:
    """Table 2's accuracy under RND, 2-Pass, Mix and Union."""
    random = row.condition.intervention == STEER
    selector, fraction = AGNOSTIC
    if (
        row.condition.selector != (RND if random else selector)
        or row.condition.fraction != fraction
        or row.accuracy.point is None
    ):
        return
    if row.condition.source_corpus not in ("", row.corpus) or row.condition.intervention not in TABLE_2:
        return
    wanted = {"model": model, "corpus": row.corpus, "alpha": row.condition.alpha, "tau": row.condition.tau or None}
    wanted |= {"intervention": TABLE_2[row.condition.intervention], "metric": "accuracy"}
    setting = f"α = {row.condition.alpha:g}" + (f", τ = {row.condition.tau:g}" if row.condition.tau else "")
    for entry in _entries(2, wanted):
        yield _comparison(2, entry, row.condition.selector, row.accuracy, setting)


def _of_evaluation_set(row: BaselineRow, model: str) -> Iterator[Comparison]:
    emotions = len(published()["vocabulary"]["emotions_of_corpus"][row.corpus])
    size = row.utterances / emotions
    yield from _of_table_4({"model": model, "corpus": row.corpus, "metric": EVALUATION_SIZE}, size, "each emotion")


def _of_pool(pool: Pool, model: str) -> Iterator[Comparison]:
    """Pools are cut where the paper's seem to be: beyond that it stopped asking."""
    place = {"model": model, "corpus": pool.corpus}
    correct = min(pool.correct, published()["table4"]["apparent_caps"][pool.corpus])
    yield from _of_table_4({**place, "metric": POOL_SIZE, "emotion": pool.emotion}, correct, pool.emotion)
    if pool.emotion == published()["vocabulary"]["emotions_of_corpus"][pool.corpus][0]:  # it is the same for all
        yield from _of_table_4({**place, "metric": IDENTIFICATION_SIZE}, pool.used, "each emotion")


def _of_table_4(wanted: Mapping[str, object], measured: float, setting: str) -> Iterator[Comparison]:
    for entry in _entries(4, wanted):
        yield _comparison(4, {"intervention": "none", **entry}, "", (float(measured), None, None), setting)


def _entries(table: int, wanted: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    rows: Iterable[dict[str, Any]] = published()[f"table{table}"]["rows"]
    return (entry for entry in rows if all(entry.get(key) == value for key, value in wanted.items()))


def _comparison(
    table: int,
    entry: dict[str, Any],
    selector: str,
    measured: tuple[float | None, float | None, float | None],
    setting: str = "",
) -> Comparison:
    flags = _flags(table, entry)
    head = (table, entry["model"], entry["corpus"], entry["intervention"], selector, entry["metric"])
    return Comparison(
        *head, *measured, published=entry["value"], printed=entry["printed"], flags=flags, setting=setting
    )


def _flags(table: int, entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(found["id"] for found in inconsistencies() if any(_names(c, table, entry) for c in found["cells"]))


def _names(cell: Mapping[str, Any], table: int, entry: Mapping[str, Any]) -> bool:
    """Whether an inconsistency's cell is this entry: what the cell says of it agrees, and it says which number."""
    said = {key: value for key, value in cell.items() if key in entry and key not in ("printed", "published")}
    named = "metric" in said or "printed" in cell
    return named and cell.get("table") == table and all(entry[key] == value for key, value in said.items())

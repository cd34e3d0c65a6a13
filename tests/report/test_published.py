"""Published numbers: shown for the same model and corpus alone, flags kept, nothing corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from esn_dist.analysis.bootstrap import UNDEFINED, Estimate
from esn_dist.analysis.summary import ALL, EffectRow
from esn_dist.report.identification_pools import PoolSize
from esn_dist.report.published import EFFECT_TABLES, comparisons, inconsistencies, published
from esn_dist.sweep.interventions import NO_PARAMETERS, InterventionParameters
from tests.report.rows import baseline, changed, point

QWEN = "qwen2.5-omni-7b"
EMOTIONS = {name: list(words) for name, words in published()["vocabulary"]["emotions_of_corpus"].items()}
ROW = changed(
    model="mine", corpus="meld", selector="ConAct", intervention="deactivate", alpha=-1.0, fraction=0.005,
    source_corpus="meld", self_effect=Estimate(-18.0, -20.0, -16.0), cross_effect=point(3.0), gap=point(-21.0),
)  # fmt: skip
WARM = InterventionParameters.of({"tau": 0.5})
STEER: dict[str, Any] = {"intervention": "steer", "alpha": 0.3}


def _numbers(row: EffectRow, model: str = QWEN, emotions: Any = EMOTIONS) -> dict[tuple[int, str], float]:
    return {(c.table, c.metric): c.published for c in comparisons([row], [], {"mine": model}, emotions)}


def test_a_row_meets_the_three_numbers_of_its_table() -> None:
    assert _numbers(ROW) == {
        (6, "self_effect"): -19.6,
        (6, "cross_effect"): 3.4,
        (6, "self_cross_gap"): -23.0,
    }
    assert _numbers(changed(ROW, **STEER))[9, "self_effect"] == 4.7


def test_difference_is_measured_minus_published() -> None:
    compared = {c.metric: c for c in comparisons([ROW], [], {"mine": QWEN}, EMOTIONS)}
    assert compared["self_effect"].difference == pytest.approx(-18.0 + 19.6)
    assert (compared["self_effect"].measured, compared["self_effect"].printed) == (ROW.self_effect, "-19.60")
    undefined = comparisons([changed(ROW, gap=UNDEFINED)], [], {"mine": QWEN}, EMOTIONS)
    assert {c.metric: c.difference for c in undefined}["self_cross_gap"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"fraction": 0.01}, {"corpus": "studio", "source_corpus": "studio"}, {"source_corpus": "iemocap"},
        {"intervention": "steer", "alpha": 0.5}, {"intervention": "mix", "alpha": 0.3},
    ],
)  # fmt: skip
def test_another_fraction_corpus_transfer_gain_or_intervention_meets_nothing(change: dict[str, Any]) -> None:
    assert not _numbers(changed(ROW, **change))


def test_another_model_or_another_set_of_emotions_meets_nothing() -> None:
    assert not _numbers(ROW, model="tiny-qwen2.5-omni")
    assert not _numbers(ROW, emotions={**EMOTIONS, "meld": ["anger", "joy"]})


def test_the_macro_mean_is_compared_for_exactly_the_three_corpora() -> None:
    macro = changed(ROW, corpus=ALL, source_corpus="")
    assert _numbers(macro)[1, "self_effect"] == -13.5
    assert not _numbers(macro, emotions={"meld": EMOTIONS["meld"], "iemocap": EMOTIONS["iemocap"]})
    assert not _numbers(macro, emotions={**EMOTIONS, "mine": ["anger", "joy"]})


def test_rnd_meets_its_one_number() -> None:
    assert _numbers(changed(ROW, selector="RND", source_corpus="")) == {(6, "effect"): 0.86}


def test_the_unintervened_accuracy_meets_table_2() -> None:
    row = baseline("mine", "iemocap", ALL, Estimate(50.0, 48.0, 52.0))
    compared, size = comparisons([], [row, replace(row, emotion="anger")], {"mine": QWEN}, EMOTIONS)
    assert (compared.table, compared.published) == (2, 48.4)
    assert compared.difference == pytest.approx(1.6)
    assert (size.table, size.measured.point, size.published, size.setting) == (4, 200, 200, "each emotion")


AGNOSTIC: dict[str, Any] = {"corpus": "iemocap", "source_corpus": "iemocap", "accuracy": point(50.0)}


@pytest.mark.parametrize(
    ("change", "printed"),
    [
        ({"intervention": "two-pass", "alpha": 0.1}, "48.1"),
        ({"intervention": "mix", "alpha": 1.0, "parameters": WARM}, "49.2"),
        ({"intervention": "union", "alpha": 0.3}, "48.9"),
        ({"intervention": "steer", "alpha": 1.0, "selector": "RND", "source_corpus": ""}, "47.6"),
    ],
)
def test_agnostic_accuracy_meets_its_column_of_table_2(change: dict[str, Any], printed: str) -> None:
    (compared,) = (
        c for c in comparisons([changed(ROW, **{**AGNOSTIC, **change})], [], {"mine": QWEN}, EMOTIONS) if c.table == 2
    )
    assert (compared.printed, compared.measured.point, compared.metric) == (printed, 50.0, "accuracy")
    assert compared.setting.startswith(f"α = {change['alpha']:g}")


@pytest.mark.parametrize(
    "change",
    [
        {"intervention": "mix", "alpha": 1.0, "parameters": InterventionParameters.of({"tau": 0.1})},
        {"intervention": "union", "alpha": 0.5},
        {"intervention": "union", "alpha": 0.3, "selector": "MAD"}, {"intervention": "union", "alpha": 0.3,
        "fraction": 0.01}, {"intervention": "union", "alpha": 0.3, "source_corpus": "meld"},
    ],
)  # fmt: skip
def test_another_temperature_gain_selector_fraction_or_source_meets_nothing_of_table_2(change: dict[str, Any]) -> None:
    assert not comparisons([changed(ROW, **{**AGNOSTIC, **change})], [], {"mine": QWEN}, EMOTIONS)


def test_every_number_of_table_2_and_table_4_is_met_once() -> None:
    models = (QWEN, "kimi-audio-7b", "audio-flamingo-3")
    types = [("steer", NO_PARAMETERS), ("two-pass", NO_PARAMETERS), ("mix", WARM), ("union", NO_PARAMETERS)]
    rows = [
        changed(ROW, model=model, corpus=corpus, source_corpus="" if steer else corpus, alpha=alpha,
                accuracy=point(50.0), intervention=type, parameters=parameters, selector="RND" if steer else "ConAct")
        for model in models for corpus in EFFECT_TABLES for alpha in (0.1, 0.3, 1.0)
        for type, parameters in types for steer in (type == "steer",)
    ]  # fmt: skip
    base = [baseline(m, c, ALL, Estimate(50.0, 48.0, 52.0)) for m in models for c in EFFECT_TABLES]
    pools = [PoolSize(m, c, e, 2000, 200) for m in models for c in EFFECT_TABLES for e in EMOTIONS[c]]
    compared = comparisons(rows, base, {}, EMOTIONS, pools)
    assert [sum(c.table == table for c in compared) for table in (2, 4)] == [117, 63]
    sizes = {c.setting: c.measured.point for c in compared if (c.table, c.model, c.corpus) == (4, QWEN, "iemocap")}
    assert sizes["anger"] == 500, "a pool is cut where the paper's seems to be"


def test_pools_of_another_model_or_of_other_emotions_meet_nothing() -> None:
    pools = [PoolSize("mine", "meld", "joy", 300, 200)]
    assert comparisons([], [], {"mine": QWEN}, EMOTIONS, pools)
    assert not comparisons([], [], {"mine": "another"}, EMOTIONS, pools)
    assert not comparisons([], [], {"mine": QWEN}, {"meld": ["joy", "anger"]}, pools)


def test_a_flagged_number_keeps_its_printed_value_and_its_flag() -> None:
    row = changed(ROW, corpus="iemocap", source_corpus="iemocap", selector="LAPE")
    compared = {c.metric: c for c in comparisons([row], [], {"mine": "audio-flamingo-3"}, EMOTIONS)}
    assert compared["cross_effect"].printed == "-0.81" and "table5-af3-lape-cross" in compared["cross_effect"].flags
    assert compared["self_effect"].flags == ()


def test_all_inconsistencies_are_shipped_and_all_that_name_a_number_are_flagged() -> None:
    assert len(inconsistencies()) == 23
    rows = [
        changed(ROW, model=model, corpus=corpus, source_corpus="" if corpus == ALL else corpus, selector=s, **change)
        for model in (QWEN, "kimi-audio-7b", "audio-flamingo-3")
        for corpus in (*EFFECT_TABLES, ALL)
        for s in ("RND", "LAP", "LAPE", "MAD", "ConAct")
        for change in ({}, STEER)
    ]
    compared = comparisons(rows, [], {}, EMOTIONS)
    assert len(compared) == 78 + 6 * 39
    flagged = {flag for comparison in compared for flag in comparison.flags}
    in_effect_tables = {
        entry["id"]
        for entry in inconsistencies()
        if any(cell.get("table") in (1, 5, 6, 7, 8, 9, 10) and "selector" in cell for cell in entry["cells"])
    }
    assert flagged == in_effect_tables - {"rounding"}

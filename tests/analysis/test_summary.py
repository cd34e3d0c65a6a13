"""Rows of a sweep: macro means, order, undefined values, counts of what was lost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from esn_dist.analysis.bootstrap import UNDEFINED
from esn_dist.analysis.flat_rows import flat_effect
from esn_dist.analysis.measured_effects import EffectSettings, measure
from esn_dist.analysis.summary import ALL, EffectRow, baseline_rows, effect_rows

A, J = "anger", "joy"
LABELS = [A, A, A, A, J, J, J, J]


def rows_of(*datasets: Any, draws: int = 20, by_speaker: bool = False) -> list[EffectRow]:
    settings = EffectSettings(draws=draws, by_speaker=by_speaker)
    return effect_rows([measure(dataset, settings) for dataset in datasets])


def _sweep(build: Any, corpus: str, lost_anger: int, model: str = "tiny") -> Any:
    broken = [J] * lost_anger + LABELS[lost_anger:]
    cells = [build.baseline(LABELS)]
    for intervention, alpha in (("steer", 0.3), ("deactivate", -1.0)):
        for selector in ("ConAct", "MAD"):
            cells += [
                build.cell(answers, intervention, selector, corpus, emotion, alpha=alpha)
                for emotion, answers in ((A, broken), (J, LABELS))
            ]
        cells += [build.cell(broken, intervention, "RND", "", "", mask_seed=0, alpha=alpha)]
        cells += [build.cell(LABELS, intervention, "RND", "", "", mask_seed=1, alpha=alpha)]
    return build.dataset(LABELS, cells, corpus=corpus, model=model)


def test_rows_come_macro_first_then_corpora_deactivation_then_steering_selectors_as_in_the_paper(build: Any) -> None:
    rows = rows_of(_sweep(build, "studio", 2), _sweep(build, "room", 4))
    assert [row.corpus for row in rows[::6]] == [ALL, "studio", "room"]
    assert [row.condition.intervention for row in rows[:6]] == ["deactivate"] * 3 + ["steer"] * 3
    assert [row.condition.selector for row in rows[:3]] == ["RND", "MAD", "ConAct"]


def test_the_macro_mean_is_the_mean_of_the_corpora(build: Any) -> None:
    all_rows = rows_of(_sweep(build, "studio", 2), _sweep(build, "room", 4))
    rows = {(row.corpus, row.condition.selector): row for row in all_rows if row.condition.intervention == "deactivate"}
    assert rows["studio", "MAD"].self_effect.point == -25.0
    assert rows["room", "MAD"].self_effect.point == -50.0
    assert rows[ALL, "MAD"].self_effect.point == -37.5
    assert rows[ALL, "MAD"].utterances == 16
    assert (rows["studio", "MAD"].condition.source_corpus, rows[ALL, "MAD"].condition.source_corpus) == ("studio", "")


def test_the_macro_interval_is_narrower_than_a_corpus_s(build: Any) -> None:
    def width(row: Any) -> float:
        return float(row.self_effect.high - row.self_effect.low)

    same = [build.random(7, per_emotion=30, corpus=corpus) for corpus in ("studio", "room", "phone")]
    rows = {row.corpus: row for row in rows_of(*same, draws=2000) if row.condition.selector == "ConAct"}
    assert width(rows[ALL]) == pytest.approx(width(rows["studio"]) / math.sqrt(3), rel=0.15)


def test_rnd_has_seeds_spread_and_no_gap(build: Any) -> None:
    row = rows_of(_sweep(build, "studio", 4))[0]
    assert (row.condition.selector, row.self_effect.point, row.cross_effect, row.gap) == (
        "RND",
        -25.0,
        UNDEFINED,
        UNDEFINED,
    )
    assert row.seeds_sd == pytest.approx(np.std([-50.0, 0.0], ddof=1))
    assert (row.margin_cross, row.source_rate, row.sources) == (UNDEFINED, UNDEFINED, ())


def test_one_corpus_has_no_macro_mean_and_models_are_never_mixed(build: Any) -> None:
    rows = rows_of(_sweep(build, "studio", 2, "tiny"), _sweep(build, "studio", 4, "large"))
    assert [row.model for row in rows[::6]] == ["tiny", "large"]
    assert ALL not in {row.corpus for row in rows}


def test_a_missing_answer_is_counted_and_an_invalid_one_is_a_rate(build: Any) -> None:
    cell = build.cell(["?", "", A, A, "nan", "unreadable", J, J], source_emotion=A)
    before = build.baseline([*LABELS[:6], "unreadable", J])
    row = rows_of(build.dataset(LABELS, [before, cell]))[0]
    assert (row.missing.not_written, row.missing.unreadable, row.missing.non_finite, row.missing_pairs) == (1, 1, 1, 4)
    assert row.invalid_rate == pytest.approx(1 / 5)


def test_a_sweep_that_has_not_run_yields_rows_without_numbers(build: Any) -> None:
    nothing = [""] * 8
    cells = [build.baseline(nothing), *(build.cell(nothing, source_emotion=emotion) for emotion in (A, J))]
    (row,) = rows_of(build.dataset(LABELS, cells))
    numbers = {
        name: value for name, value in flat_effect(row).items() if name.endswith(("_effect", "gap", "low", "high"))
    }
    assert set(numbers.values()) == {None} and row.invalid_rate is None
    assert row.missing_pairs == row.missing.not_written == 16


def test_no_row_ever_holds_nan(build: Any) -> None:
    for by_speaker in (False, True):
        for row in rows_of(build.random(11, per_emotion=4), draws=50, by_speaker=by_speaker):
            assert not [value for value in flat_effect(row).values() if isinstance(value, float) and math.isnan(value)]


def test_transfers_have_separate_rows_and_are_not_in_the_macro_mean(build: Any) -> None:
    transfer = [build.cell([J] * 8, source_emotion=emotion, source_corpus="room") for emotion in (A, J)]
    studio = build.dataset(LABELS, [build.baseline(LABELS), *transfer])
    rows = rows_of(studio, _sweep(build, "room", 2))
    assert next(row.corpus for row in rows if row.condition.source_corpus == "room") == "studio"
    assert ALL not in {row.corpus for row in rows}


def test_baselines_give_the_mean_and_each_emotion(build: Any) -> None:
    answers = build.baseline([A, A, A, J, J, "?", "nan", J])
    rows = baseline_rows([measure(build.dataset(LABELS, [answers]), EffectSettings(draws=500))])
    assert [(row.emotion, row.accuracy.point) for row in rows] == [
        (ALL, pytest.approx((75 + 200 / 3) / 2)),
        (A, 75.0),
        (J, pytest.approx(200 / 3)),
    ]
    assert (rows[0].missing.non_finite, rows[2].missing.non_finite, rows[2].utterances) == (1, 1, 4)
    assert rows[2].invalid_rate == pytest.approx(1 / 3)
    assert rows[1].accuracy.low is not None and rows[1].accuracy.high is not None
    assert rows[1].accuracy.low < 75 < rows[1].accuracy.high

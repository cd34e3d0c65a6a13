"""Hours come from rates that were measured; work without a rate is unknown, never zero, and every sum says so."""

from __future__ import annotations

import json
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.report.plan import plan_facts, plan_text
from esn_dist.store.schema import count_arrays
from esn_dist.sweep import rates as shipped
from esn_dist.sweep.cost import RATE_OF_WORK, TotalHours, Work, hours_by_device, total_hours
from esn_dist.sweep.forecast import ModelForecast, forecast
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.rates import Rate, forecast_error, known_rates, rates_of
from esn_dist.sweep.spec import ModelSpec, Sweep

PAPER = Path(__file__).parents[2] / "configs" / "paper.yaml"
QWEN, KIMI, FLAMINGO = "qwen2.5-omni-7b", "kimi-audio-7b", "audio-flamingo-3"
H100 = "NVIDIA H100 80GB HBM3"
EVALUATED, CANDIDATES = 1_000 + 1_000 + 2_500, 5_339 + 11_989 + 19_220  # clips of the paper's three corpora


def rate(model: str, device: str, answers: float, **more: float) -> Rate:
    given = {"model": model, "device": device, "answers_per_second": answers, "date": "2026-01-02", "how": "by hand"}
    return Rate.model_validate(given | more)


def small(**changed: Any) -> Sweep:
    """Qwen2.5-Omni on one of two corpora of three emotions with 40 candidates each."""
    corpus: dict[str, Any] = {"type": "synthetic", "condition": "studio", "emotions": ["anger", "joy", "neutral"]}
    corpus |= {"evaluation": {"per_emotion": 50}, "identification": {"candidates": 40, "cap": 30, "size": 30}}
    study = {"corpora": ["one"], "selectors": ["ConAct"], "fractions": "1 %", "interventions": ["deactivate"]}
    given = {"name": "small", "seed": 1, "models": [QWEN], "studies": {"s": study}}
    return Sweep.model_validate({**given, "corpora": [{**corpus, "name": n} for n in ("one", "two")], **changed})


def models_of(sweep: Sweep) -> dict[str, ModelForecast]:
    return {model.name: model for model in forecast(sweep).models}


def test_a_study_s_hours_are_of_answering_and_name_the_models_without_a_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = (rate(QWEN, "H100", 100), rate(QWEN, "A100", 50), rate(KIMI, "H100", 25))
    monkeypatch.setattr(shipped, "known_rates", lambda: rates)
    facts = forecast(load_sweep(PAPER))
    studies = {s.name: s for s in facts.studies}
    # figure2abc adds 15 cells x 2,500 answers of Qwen2.5-Omni alone; table1 has as many answers of each model.
    assert studies["figure2abc"].hours == {
        "A100": TotalHours(37_500 / 50 / 3600, ()), "H100": TotalHours(37_500 / 100 / 3600, ())
    }  # fmt: skip
    each = studies["table1"].answers / 3
    assert studies["table1"].hours["A100"] == TotalHours(each / 50 / 3600, (KIMI, FLAMINGO))
    assert studies["table1"].hours["H100"].hours == pytest.approx((each / 100 + each / 25) / 3600)
    assert studies["table1"].hours["H100"].left_out == (FLAMINGO,)
    text = plan_text(facts)
    assert "adds 0.21 hours of A100 or 0.10 hours of H100, " in text
    assert f"hours of A100 without {KIMI}, {FLAMINGO} (unknown) or " in text


def test_the_parts_of_the_paper_s_sweep_are_known_where_they_were_measured_and_unknown_elsewhere() -> None:
    facts, models = forecast(load_sweep(PAPER)), models_of(load_sweep(PAPER))
    measured = {r.model: r for r in known_rates() if r.device == H100}
    known, left_out = 0.0, []
    for name, answers in ((QWEN, 656_500), (KIMI, 481_500), (FLAMINGO, 481_500)):
        assert models[name].work == Work(answers, CANDIDATES, EVALUATED + CANDIDATES)
        rates, numbers = measured[name], (answers, CANDIDATES, EVALUATED + CANDIDATES)
        speeds = (rates.answers_per_second, rates.counted_per_second, rates.clips_per_second)
        expected = {
            part: None if speed is None else number / speed / 3600
            for part, number, speed in zip(RATE_OF_WORK, numbers, speeds, strict=True)
        }
        assert models[name].hours[H100] == pytest.approx(expected)
        known += sum(hours or 0.0 for hours in expected.values())
        left_out += [f"{part} of {name}" for part, hours in expected.items() if hours is None]
    assert measured[QWEN].counted_per_second and left_out == [f"identification of {name}" for name in (KIMI, FLAMINGO)]
    assert facts.hours[H100].hours == pytest.approx(known)
    assert list(facts.hours[H100].left_out) == left_out
    assert sum(m.work.answering for m in facts.models) == facts.answers
    assert sum(m.work.identification or 0 for m in facts.models) == facts.identification_answers
    assert json.loads(json.dumps(plan_facts(facts)))["models"][1]["hours"][H100]["identification"] is None


def test_a_part_without_a_rate_is_unknown_and_the_total_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "known_rates", lambda: (rate(QWEN, "H100", 10, clips_per_second=5),))
    facts = forecast(small())
    answers, clips = 150 * 4, 150 + 120
    assert facts.models[0].hours["H100"] == {
        "answering": answers / 10 / 3600, "identification": None, "encoding": clips / 5 / 3600
    }  # fmt: skip
    assert facts.hours["H100"].hours == pytest.approx((answers / 10 + clips / 5) / 3600)
    assert facts.hours["H100"].left_out == (f"identification of {QWEN}",)
    text = plan_text(facts)
    assert "answering 0.02, identification unknown, encoding up to 0.02 hours of H100 (measured 2026-01-02)" in text
    assert f"hours    up to 0.03 hours of H100 without identification of {QWEN} (unknown)" in text


def test_a_larger_pool_needs_the_bytes_that_the_store_s_arrays_of_counts_grow_by() -> None:
    corpus: dict[str, Any] = {"name": "one", "type": "synthetic", "condition": "studio", "emotions": ["anger", "joy"]}
    sweeps = [small(corpora=[corpus | {"identification": {"candidates": n, "cap": 8}}]) for n in (32, 96)]
    shape = MODELS[QWEN].layers, MODELS[QWEN].width
    raw = [
        sum(
            prod(a.shape) * np.dtype(a.dtype).itemsize
            for a in count_arrays(2 * n, *shape, ("anger", "joy"))
            if a.shards
        )
        for n in (32, 96)
    ]
    fewer, more = (forecast(sweep).bytes for sweep in sweeps)
    assert fewer and more and more - fewer == raw[1] - raw[0]


def test_an_identification_set_of_unknown_size_makes_hours_and_units_unknown_and_not_zero(tmp_path: Path) -> None:
    corpus = {"name": "one", "type": "manifest", "path": str(tmp_path / "none.csv"), "emotions": ["anger", "joy"]}
    facts = forecast(small(corpora=[corpus]))
    hours = facts.models[0].hours[H100]
    assert hours["answering"] and hours["identification"] is hours["encoding"] is None
    assert facts.hours[H100].left_out == (f"identification of {QWEN}", f"encoding of {QWEN}")
    assert facts.units["encode"] is facts.units["identify"] is None
    text = plan_text(facts)
    assert "units    encode unknown, identify unknown, select 2, answer 1" in text
    assert "unknown for identification, unknown clips to encode" in text


def test_no_work_takes_no_time_at_any_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "known_rates", lambda: (rate(QWEN, "H100", 10, clips_per_second=5),))
    random = {"corpora": ["one"], "selectors": ["RND"], "seeds": 2, "fractions": "1 %", "interventions": ["deactivate"]}
    facts = forecast(small(studies={"s": random}))
    assert facts.models[0].work == Work(3 * 150, 0, 150)
    assert facts.models[0].hours["H100"]["identification"] == 0
    assert facts.hours["H100"].left_out == ()


def test_masks_that_are_drawn_take_no_hours_and_not_unknown_ones() -> None:
    drawn = {"corpora": ["one"], "selectors": ["RND"], "seeds": 2, "fractions": "1 %", "interventions": []}
    text = plan_text(forecast(small(models=[KIMI], studies={"s": drawn})))
    assert f"{KIMI}: nothing to do" in text and "hours    no GPU-hours" in text and "unknown" not in text


def test_a_model_that_no_study_uses_is_not_named_as_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "known_rates", lambda: (rate(QWEN, "H100", 10, counted_per_second=7),))
    study = small().studies["s"].model_copy(update={"models": (QWEN,)})
    facts = forecast(small(models=[QWEN, KIMI]).model_copy(update={"studies": {"s": study}}))
    assert facts.models[1].work == Work(0, 0, 0)
    assert facts.hours["H100"].left_out == (f"encoding of {QWEN}",)


@pytest.mark.parametrize("changed", [{"gpus": 2}, {"dtype": "float32"}, {"device": "cpu"}, {"offload": "cpu"}])
def test_a_model_that_runs_in_another_way_than_was_measured_has_no_rate(changed: dict[str, Any]) -> None:
    assert rates_of(ModelSpec.model_validate({"name": "mine", "model": QWEN, "dtype": "bfloat16"}))
    assert rates_of(ModelSpec.model_validate({"name": QWEN, **changed})) == ()
    assert "no rate was measured for it as it runs here" in plan_text(
        forecast(small(models=[{"name": QWEN, **changed}]))
    )


NUMBERS = st.none() | st.integers(0, 50)


@given(
    st.dictionaries(st.sampled_from("abc"), st.builds(Work, st.integers(0, 50), NUMBERS, NUMBERS), min_size=1),
    st.lists(
        st.builds(
            rate, st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from([0.5, 2.0]),
            counted_per_second=st.sampled_from([None, 3.0]), clips_per_second=st.sampled_from([None, 4.0]),
        ), unique_by=lambda r: (r.model, r.device),
    ),
)  # fmt: skip
def test_every_part_is_in_the_sum_or_named_as_left_out(work: dict[str, Work], rates: list[Rate]) -> None:
    by_model = {name: [r for r in rates if r.model == name] for name in "abc"}
    for device, total in total_hours(hours_by_device(work, by_model)).items():
        seconds, unknown = 0.0, dict[str, list[str]]()
        for name, todo in work.items():
            on_device, known = [r for r in by_model[name] if r.device == device], 0.0
            missing = []
            for part, per in RATE_OF_WORK.items():
                number, speed = getattr(todo, part), getattr(on_device[0], per) if on_device else None
                if number is None or (number and speed is None):
                    missing.append(f"{part} of {name}")
                elif number:
                    known += number / speed
            unknown[name] = missing if known else [name] * bool(missing)
            seconds += known
        assert total.hours == pytest.approx(seconds / 3600) and total.hours > 0
        assert list(total.left_out) == [entry for missing in unknown.values() for entry in missing]


def test_shipped_rates_are_of_models_that_exist_one_for_each_device_and_say_how() -> None:
    known = [(r.model, r.device) for r in known_rates()]
    assert len(set(known)) == len(known) and {model for model, _ in known} <= MODELS.keys()
    assert all("python benchmarks/" in r.how for r in known_rates())


def test_the_forecast_of_answers_is_within_15_percent_of_the_other_runs_that_its_entry_names() -> None:
    for measured in (257.2, 246.1, 243.6, 238.9, 235.6):
        error = forecast_error(QWEN, H100, measured)
        assert error is not None and abs(error) < 0.15
    for measured in (503.5, 485.4):
        error = forecast_error(QWEN, H100, measured, actors=2)
        assert error is not None and abs(error) < 0.15
    # Forecast: 1000 answers / 248.9 per second; measured: 1000 / 200. It was slower than forecast.
    assert forecast_error(QWEN, H100, 200.0) == pytest.approx((1_000 / 248.9) / (1_000 / 200) - 1)
    assert forecast_error(QWEN, H100, 2 * 248.9, actors=2) == pytest.approx(0)
    assert forecast_error("phi-4", H100, 200.0) is forecast_error(QWEN, "another", 200.0) is None


def test_units_are_of_corpora_in_use_and_every_emotion_fills_its_own_shards() -> None:
    sweep = small()
    alone = sweep.model_copy(update={"corpora": sweep.corpora[:1]})
    units = forecast(sweep).units
    assert units == forecast(alone).units
    # 150 clips are evaluated; 40 candidates of an emotion fill one shard of 32 and begin another.
    assert units["encode"] == ceil(150 / 32) + 3 * ceil(40 / 32)
    # With a second corpus in use no unit holds shards of both.
    both = sweep.studies["s"].model_copy(update={"corpora": ("one", "two")})
    assert forecast(sweep.model_copy(update={"studies": {"s": both}})).units["identify"] == 2

"""A slice of a sweep is run and measured, however short it is; a figure that cannot be measured is no number."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

import pytest

import slice as sliced
from esn_dist.store.folder import StoreFolder
from esn_dist.sweep.rates import known_rates
from esn_dist.sweep.units import cells_per_block, identify_units
from esn_dist.terms import SHARD_ROWS
from full_size import write_omni
from speed import gpus
from speed.done_marks import Pace, done_marks, pace
from speed.forecast import STEPS, Measured, errors
from tests.benchmarks.smoke import run

MODEL = "qwen2.5-omni-7b"
RATE = next(rate for rate in known_rates() if rate.model == MODEL)
BEGAN = 1_700_000_000


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny slice that ran, with its `figures.json`."""
    folder, checkpoint = (tmp_path_factory.mktemp(name) for name in ("slice", "omni"))
    write_omni(checkpoint, small=True)
    output = run("slice", model=checkpoint, json=folder / "figures.json", folder=folder)
    assert "no actor was killed: the run was over before 5 units of answers" in output
    return folder


def test_a_tiny_slice_runs_and_reports_that_it_was_too_short_for_a_steady_pace(ran: Path) -> None:
    figures = json.loads((ran / "figures.json").read_text(encoding="utf-8"))
    assert (figures["cells"], figures["utterances"], figures["failed"]) == (1 + 2 * (1 + 5), 20, {})
    assert figures["units"] == {"encode": 6, "identify": 1, "select": 6, "answer": 1}
    # One block of answers has no pace: a single mark is a moment.
    assert figures["answers_per_second"] is None and figures["counted_per_second"] is None
    assert figures["clips_encoded_per_second"] > 0
    assert figures["steady"] == {"encode": True, "identify": False, "answer": False}
    assert figures["forecast_errors"]["answer"] is None and figures["no_forecast_errors"]["answer"]
    assert figures["recovery_seconds"] is None


def test_marks_and_log_are_compared_with_the_planner_s_forecast(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a GPU had encoded a block every two seconds, counted two seconds later, and answered at second 15."""
    shutil.copytree(ran, folder := tmp_path / "slice")
    store = StoreFolder(folder / "store")
    for number, mark in enumerate(sorted(done_marks(store, "encode"), key=lambda mark: mark.name)):
        os.utime(mark, (0, BEGAN + 2 * number))
    os.utime(next(done_marks(store, "identify")), (0, BEGAN + 12))
    os.utime(next(done_marks(store, "answer")), (0, BEGAN + 15))
    moment = datetime.fromtimestamp(BEGAN - 5, UTC).isoformat(timespec="seconds")
    event = {"time": moment, "event": "ready", "unit": "actor 0", "details": ["its model was loaded in 3 s"]}
    (store.log / "events.jsonl").write_text(json.dumps(event) + "\n")

    monkeypatch.setattr(sliced, "query_gpus", lambda _: [RATE.device])
    observed = sliced.ObservedRun(BEGAN - 9, BEGAN + 20, result=sliced.read_result(folder, 0))
    figures = sliced.figures_of(folder, MODEL, 20, observed, 1, sliced.exclusions_of(observed, 1, False))
    assert RATE.clips_per_second and RATE.counted_per_second
    # 20 clips are evaluated, in the first block; each of five emotions has 30 candidates in a block of its own.
    seconds = 170 / RATE.clips_per_second + 150 / RATE.counted_per_second + 13 * 20 / RATE.answers_per_second
    assert figures["forecast_errors"]["whole"] == pytest.approx(seconds / 20 - 1, abs=1e-3)
    assert figures["forecast_errors"]["encode"] == pytest.approx(5 * 30 / 10 / RATE.clips_per_second - 1, abs=1e-3)
    few = "too few units for a steady pace"
    assert figures["no_forecast_errors"] == {"answer": few, "identify": few}
    assert figures["seconds"]["first answers after an actor was ready"] == 20

    cached = sliced.exclusions_of(observed, 1, True)
    figures = sliced.figures_of(folder, MODEL, 20, observed, 1, cached)
    assert figures["no_forecast_errors"] == {"answer": few, "identify": few} | dict.fromkeys(
        ("encode", "whole"), "some clips were in the cache before"
    )


def test_a_pace_is_steady_while_every_actor_has_work_or_says_that_it_is_not() -> None:
    marks = [(0.0, 10), (2.0, 10), (3.0, 20), (4.0, 20), (5.0, 30)]
    assert pace(marks, 1) == Pace((10 + 20 + 20 + 30) / 5, (10 + 20 + 20 + 30) / 5)
    # From the first mark to the third, and from the second to the fourth; the fifth unit ran alone.
    assert pace(marks, 2) == Pace((10 + 20 + 20 + 20) / (3 + 2), 16.0)
    assert pace(marks, 3) == Pace(None, 16.0)
    assert pace(marks[:2], 1) == Pace(None, 5.0)
    assert pace(marks[:1], 1) == pace([], 1) == pace([(1.0, 5), (1.0, 5)], 1)
    assert pace([], 1) == Pace(None, None)


@pytest.mark.parametrize("actors", [1, 2, 8])
@pytest.mark.parametrize("units", [24, 25, 33, 63])
@pytest.mark.parametrize("apart", [0.0, 0.4, 1.0])
def test_units_that_end_unevenly_do_not_slow_the_steady_pace(actors: int, units: int, apart: float) -> None:
    """Units of 8 s and 2,000 answers; whether actors mark at once, or in turns up to a whole unit `apart`."""
    starts = [8 * apart * actor / actors for actor in range(actors)]
    marks = [(starts[unit % actors] + 8 * (unit // actors + 1), 2_000) for unit in range(units)]
    assert pace(marks, actors).steady == pytest.approx(2_000 / 8 * actors, abs=0.1)


def test_a_kill_without_an_event_is_no_number_and_no_crash(tmp_path: Path) -> None:
    assert sliced.recovery(tmp_path, 5.0) == {"noticed": None, "successor ready": None}
    assert sliced.recovery(tmp_path, 0.0) is None


def test_a_death_in_the_millisecond_of_the_kill_was_noticed_at_once_and_one_before_is_another_s(tmp_path: Path) -> None:
    log = StoreFolder(tmp_path / "store").log
    log.mkdir(parents=True)
    moment = datetime.fromtimestamp(BEGAN, UTC).isoformat(timespec="milliseconds")
    event = {"time": moment, "event": "actor died", "unit": "actor 0", "details": ["killed"]}
    (log / "events.jsonl").write_text(json.dumps(event) + "\n")
    assert sliced.recovery(tmp_path, BEGAN + 0.0005) == {"noticed": 0.0, "successor ready": None}
    assert sliced.recovery(tmp_path, BEGAN + 0.5) == {"noticed": None, "successor ready": None}


@pytest.mark.parametrize("printed", ["", "stopping after the units in flight\n"])
def test_an_interrupted_run_is_reported_with_the_end_of_its_output(tmp_path: Path, printed: str) -> None:
    (tmp_path / "out").write_text(printed)
    (tmp_path / "err").write_text("\n".join(f"line {n}" for n in range(100)))
    with pytest.raises(SystemExit, match="ended with code 130") as error:
        sliced.read_result(tmp_path, 130)
    assert "line 99" in str(error.value) and "line 1\n" not in str(error.value)


def test_a_forecast_covers_all_actors_and_one_model_of_gpu() -> None:
    assert RATE.counted_per_second and RATE.clips_per_second
    paces = {"answer": 2 * 1.1 * RATE.answers_per_second, "identify": RATE.counted_per_second, "encode": None}
    things = {"answer": 1_000, "identify": 200, "encode": 50}
    seconds = 1_000 / RATE.answers_per_second + 200 / RATE.counted_per_second + 50 / RATE.clips_per_second
    measured = Measured(paces, things, seconds, {})
    assert errors(MODEL, [RATE.device] * 2, 2, measured) == {
        "answer": 0.1, "identify": -0.5, "encode": "too few units for a steady pace", "whole": -0.5,
    }  # fmt: skip
    for names, why in ([], "no GPU"), (["another", RATE.device], "several models"), (["another"], "no rate of"):
        assert all(why in str(error) for error in errors(MODEL, names, 2, measured).values())
    assert "no actor" in str(errors(MODEL, [RATE.device], 2, replace(measured, seconds=None))["whole"])


def test_an_excluded_step_and_the_whole_give_the_reason() -> None:
    for observed, of_one, steps in [
        (sliced.ObservedRun(killed=5.0, result={"failed": {}}), 1, {"answer"}),
        (sliced.ObservedRun(result={"failed": {"unit": "why"}}), 1, {"answer", "identify", "encode"}),
        (sliced.ObservedRun(result={"failed": {}}), 2, {"answer", "identify", "encode"}),
        (sliced.ObservedRun(result={"failed": {}}), 1, set()),
    ]:
        excluded = sliced.exclusions_of(observed, of_one, False)
        assert excluded.keys() == steps
        measured = Measured(dict.fromkeys(STEPS, 1.0), dict.fromkeys(STEPS, 1), 1.0, excluded)
        reported = {step for step, error in errors(MODEL, [RATE.device], 1, measured).items() if isinstance(error, str)}
        assert reported == steps | ({"whole"} if steps else set())


@pytest.mark.parametrize("actors", sliced.ENOUGH)
def test_the_sizes_that_help_names_are_enough(actors: int) -> None:
    seeds, candidates = sliced.ENOUGH[actors]
    assert ceil((1 + 2 * (seeds + 5)) / cells_per_block(1_000)) > 10 * actors
    assert len(identify_units(MODEL, "buzz", range(5 * ceil(candidates / SHARD_ROWS)))) > 2 * actors


def test_a_gpu_that_reports_no_utilisation_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    for lines, expected in ((["97", " 3"], [97, 3]), (["[N/A]", "5"], []), ([], [])):
        monkeypatch.setattr(gpus, "query_gpus", lambda _, lines=lines: lines)
        assert gpus.utilisation() == expected
    assert (
        gpus.mean_utilisation([[], [90, 10], [80, 0]]) == [85, 5]
        and gpus.mean_utilisation([[]]) == gpus.mean_utilisation([]) == []
    )

"""A slice of a sweep is run and watched, however short it is; what cannot be told is said, and is no number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import slice as sliced
from esn_dist.sweep.rates import known_rates
from full_size import write_omni

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "slice.py"


def test_a_tiny_slice_runs_and_says_that_it_was_too_short_for_a_steady_pace(tmp_path: Path) -> None:
    (checkpoint := tmp_path / "omni").mkdir()
    write_omni(checkpoint, small=True)
    options = ["--per-emotion", "4", "--candidates", "32", "--seeds", "1", "--json", str(tmp_path / "figures.json")]
    command = [sys.executable, str(SCRIPT), "qwen2.5-omni-7b", str(checkpoint), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert (figures["cells"], figures["utterances"], figures["parked"]) == (1 + 2 * (1 + 5), 20, {})
    assert figures["units"] == {"encode": 6, "identify": 1, "select": 6, "answer": 1}
    # One block of answers has no pace: a single mark is a moment.
    assert figures["answers_per_second"] is None and figures["forecast_error"] is None
    assert figures["clips_encoded_per_second"] > 0
    assert figures["steady"] == {"encode": True, "answer": False}
    assert figures["recovery_seconds"] is None


def test_a_pace_is_steady_while_every_actor_has_work_or_says_that_it_is_not() -> None:
    marks = [(0.0, 10), (2.0, 10), (3.0, 20), (4.0, 20), (5.0, 30)]
    assert sliced.pace(marks, 1) == sliced.Pace((10 + 20 + 20 + 30) / 5, (10 + 20 + 20 + 30) / 5)
    # From the first mark to the third, and from the second to the fourth; the fifth unit ran alone.
    assert sliced.pace(marks, 2) == sliced.Pace((10 + 20 + 20 + 20) / (3 + 2), 16.0)
    assert sliced.pace(marks, 3) == sliced.Pace(None, 16.0)
    assert sliced.pace(marks[:2], 1) == sliced.Pace(None, 5.0)
    assert sliced.pace(marks[:1], 1) == sliced.pace([], 1) == sliced.pace([(1.0, 5), (1.0, 5)], 1)
    assert sliced.pace([], 1) == sliced.Pace(None, None)


@pytest.mark.parametrize("actors", [1, 2, 8])
@pytest.mark.parametrize("units", [24, 25, 33, 63])
@pytest.mark.parametrize("apart", [0.0, 0.4, 1.0])
def test_units_that_end_unevenly_do_not_slow_the_steady_pace(actors: int, units: int, apart: float) -> None:
    """Units of 8 s and 2,000 answers; whether actors mark at once, or in turns up to a whole unit `apart`."""
    starts = [8 * apart * actor / actors for actor in range(actors)]
    marks = [(starts[unit % actors] + 8 * (unit // actors + 1), 2_000) for unit in range(units)]
    assert sliced.pace(marks, actors).steady == pytest.approx(2_000 / 8 * actors, abs=0.1)


def test_a_kill_that_nobody_noticed_is_no_number_and_no_crash(tmp_path: Path) -> None:
    assert sliced.recovery(tmp_path, 5.0) == {"noticed": None, "successor ready": None}
    assert sliced.recovery(tmp_path, 0.0) is None


@pytest.mark.parametrize("printed", ["", "stopping after the units in flight\n"])
def test_an_interrupted_run_is_told_with_its_last_words(tmp_path: Path, printed: str) -> None:
    (tmp_path / "out").write_text(printed)
    (tmp_path / "err").write_text("\n".join(f"line {n}" for n in range(100)))
    with pytest.raises(SystemExit, match="ended with code 130") as told:
        sliced.told(tmp_path, 130)
    assert "line 99" in str(told.value) and "line 1\n" not in str(told.value)


def test_the_forecast_is_held_against_a_steady_run_on_one_sort_of_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = next(rate for rate in known_rates() if rate.model == "qwen2.5-omni-7b")
    for names, steady, expected in [
        ([rate.device, rate.device], True, 0.1),
        ([rate.device, rate.device], False, None),
        ([rate.device, "another"], True, None),
        (["another"], True, None),
        ([], True, None),
    ]:
        monkeypatch.setattr(sliced, "of_gpus", lambda _, names=names: names)
        assert sliced.error_of(rate.model, 2 * 1.1 * rate.answers_per_second, steady, actors=2) == expected
    assert sliced.error_of("kimi-audio-7b", 20.0, True, 1) is None

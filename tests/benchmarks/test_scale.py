"""The benchmarks of driver and store run at tiny size, and their JSON holds what is promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.smoke import arguments

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CALLS_PER_UNIT = 300  # 117 today: no scan of the actors or of the units, which would cost a thousand


def figures(tmp_path: Path, script: str) -> dict[str, Any]:
    out = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), *arguments(script, json=out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(out.read_text(encoding="utf-8")))


def test_the_driver_feeds_a_thousand_actors_and_more_workers_are_no_slower(tmp_path: Path) -> None:
    measured = figures(tmp_path, "scheduler")
    assert measured["units"] > 9_000 and measured["actors"] == 1_000
    assert measured["units_per_second"] > 0
    assert 0 < measured["calls_per_unit"] < CALLS_PER_UNIT
    assert measured["imports_bytes"] < measured["driver_peak_bytes"] < 2**30
    (ray_actors,) = measured["ray_dispatch"].values()
    assert ray_actors["actors"] == 2 and ray_actors["units"] > 700
    single, eight = (measured["workers"][size] for size in ("1", "8"))
    assert single["units"] == eight["units"]
    assert single["share_of_linear"] > 0.99 and eight["hours"] < single["hours"] / 4


def test_the_store_is_measured_and_what_is_scaled_is_named_so(tmp_path: Path) -> None:
    measured = figures(tmp_path, "store")
    assert measured["counts"]["stored_bytes"] < measured["counts"]["raw_bytes"]
    assert {"write_bytes_per_second", "pass_seconds_per_shard", "bytes_per_utterance"} <= measured["counts"].keys()
    assert 0 < measured["counts"]["sums_share_of_bytes"] < 0.2
    assert (
        measured["counts"]["pass_seconds_per_shard_warm"] < measured["counts"]["rows_pass_seconds_per_shard_warm"] * 2
    )
    assert {"answers_per_second", "bytes_per_answer"} <= measured["answers"].keys()
    assert {"utterances_with_counts", "counts_bytes", "answers_bytes"} <= measured["scaled_to_the_paper"].keys()
    assert measured["resume"]["marks"] == 2_000 and measured["resume"]["seconds"] > 0

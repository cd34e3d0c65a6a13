"""A run is killed, at any time: the same command completes the sweep, and the store equals an undisturbed one."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from esn_dist.report.status import status_text
from esn_dist.store.compare import differences
from esn_dist.store.done import damaged
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lock
from esn_dist.store.read import open_answers, open_counts
from esn_dist.store.status import read_status


def test_the_store_is_complete_and_plain_xarray_reads_it(undisturbed: StoreFolder) -> None:
    answers = open_answers(undisturbed, "tiny-qwen2.5-omni", "studio")
    assert answers.sizes == {"cell": 1 + 2 * (2 + 2 * 5), "utterance": 20, "emotion": 5}
    assert set(np.unique(answers.outcome)) <= {1, 2}
    assert np.isfinite(answers.logprob).all()
    plain = xr.open_zarr(undisturbed.data, group="models/tiny-qwen2.5-omni/studio/answers", consolidated=False)
    assert plain.answer.dims == ("cell", "utterance")
    counts = open_counts(undisturbed, "tiny-qwen2.5-omni", "studio")
    assert (counts.K <= counts.T).all()
    assert (counts.T.sel(part="generated") >= 1).all()
    assert not damaged(undisturbed)


@pytest.mark.parametrize("actors", [1, 4])
def test_the_number_of_actors_changes_no_value(undisturbed: StoreFolder, runner: Any, actors: int) -> None:
    name = f"on-{actors}"
    runner.run(runner.sweep(name), actors)
    assert differences(undisturbed, StoreFolder(runner.folder / name)) == []


@pytest.mark.parametrize(
    ("victim", "number"),
    [("driver", signal.SIGKILL), ("actor", signal.SIGKILL), ("driver", signal.SIGTERM), ("driver", signal.SIGINT)],
)
def test_a_killed_run_continues_where_it_stopped(
    undisturbed: StoreFolder, runner: Any, victim: str, number: signal.Signals
) -> None:
    name = f"killed-{victim}-{number.name}"
    store, sweep = StoreFolder(runner.folder / name), runner.sweep(name)
    process = runner.start(sweep, as_json=victim == "actor")
    # There are many encode, identify and select units; a store after them holds every sort of data.
    runner.wait(lambda: runner.units_done(store) >= 3, process)
    assert f"process {process.pid} on" in str(read_status(store).driver)
    if victim == "actor":
        runner.wait(lambda: bool(runner.actors(process.pid)), process)
        os.kill(runner.actors(process.pid)[0], number)
        output = runner.output(process)
        assert process.returncode == 0  # the driver replaces the actor and finishes by itself
        assert json.loads(output)["finished"] > 3, "Ray reports the death on stdout"
    else:
        # Ctrl-C reaches everything that the terminal started, the others the driver alone.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        expected = -number if number == signal.SIGKILL else 128 + number
        # A signal that comes while the last unit is in flight leaves nothing to do.
        runner.output(process)
        assert process.returncode in (expected, 0)
        done = runner.units_done(store)
        runner.run(sweep)
        assert runner.units_done(store) >= done
    assert differences(undisturbed, store) == []
    assert not damaged(store)


def test_ctrl_c_while_speech_is_synthesised_stops_and_loses_nothing(
    undisturbed: StoreFolder, runner: Any, tmp_path: Path
) -> None:
    sweep = runner.sweep("early")
    text = sweep.read_text(encoding="utf-8").replace(str(runner.cache), str(tmp_path))
    sweep.write_text(text, encoding="utf-8")
    process = runner.start(sweep)
    runner.wait(lambda: any(tmp_path.rglob("*.wav")), process)
    os.killpg(process.pid, signal.SIGINT)
    output = runner.output(process)
    assert process.returncode == 130, output
    assert "run it again" in output and "Traceback" not in output
    runner.run(sweep)
    assert differences(undisturbed, StoreFolder(runner.folder / "early")) == []


def test_a_second_driver_on_one_store_is_refused_with_the_first_ones_host(runner: Any) -> None:
    sweep, store = runner.sweep("contested"), StoreFolder(runner.folder / "contested")
    with Lock(store.backend):  # as the first driver does, for as long as the second one needs
        second = runner.start(sweep)
        output = runner.output(second)
    assert second.returncode == 2
    assert f"process {os.getpid()} on {os.uname().nodename}" in output


def test_status_of_a_finished_store_counts_all_units_and_no_driver(undisturbed: StoreFolder) -> None:
    status = read_status(undisturbed)
    assert status.driver is None and status.unreadable_clips == ()
    steps = status.models["tiny-qwen2.5-omni"].steps
    assert all(done == known for done, known in steps.values())
    assert status.done == {name: done for name, (done, _) in sorted(steps.items())}
    assert "answer: 2 of 2 units done" in status_text(status)


def test_running_a_finished_sweep_again_does_nothing(undisturbed: StoreFolder, runner: Any) -> None:
    before = {p: p.stat().st_mtime_ns for p in undisturbed.data.rglob("*") if p.is_file()}
    runner.run(runner.folder / "undisturbed.yaml")
    assert {p: p.stat().st_mtime_ns for p in undisturbed.data.rglob("*") if p.is_file()} == before


def test_a_sweep_that_grows_runs_what_is_new_and_keeps_the_rest(undisturbed: StoreFolder, runner: Any) -> None:
    grown = StoreFolder(runner.folder / "grown")
    shutil.copytree(undisturbed.root, grown.root)
    (grown.root / "lock").unlink(missing_ok=True)
    old = {p.relative_to(grown.data): p.read_bytes() for p in grown.data.rglob("*/answers/answer/c*") if p.is_file()}
    runner.run(runner.sweep("grown", seeds=3))
    assert {name: (grown.data / name).read_bytes() for name in old} == old
    answers = open_answers(grown, "tiny-qwen2.5-omni", "studio", complete=True)
    assert sorted(set(answers.mask_seed.values)) == [-1, 0, 1, 2]


def test_a_change_to_what_the_arrays_depend_on_is_refused_and_shown(undisturbed: StoreFolder, runner: Any) -> None:
    sweep = runner.folder / "changed.yaml"
    text = (runner.folder / "undisturbed.yaml").read_text(encoding="utf-8")
    sweep.write_text(text.replace("per_emotion: 4", "per_emotion: 5"), encoding="utf-8")
    process = runner.start(sweep)
    output = runner.output(process)
    assert process.returncode == 2
    assert "per_emotion" in output

"""The run log: what a run writes is read back, and logs of earlier versions stay readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esn_dist.store.folder import StoreFolder
from esn_dist.store.run_events import (
    AttemptFailed,
    BatchesSplit,
    Event,
    GaveUp,
    ModelLoaded,
    UnreadableClips,
    WorkerDied,
    WorkerPreempted,
)
from esn_dist.store.run_log import LoggedStudy, ModelState, RunLog, StudyCondition
from esn_dist.store.status import read_status


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path / "store")


EVENTS: list[tuple[Event, str, tuple[str, ...]]] = [
    (UnreadableClips("answer-1", ("u1: silent", "u2: missing")), "clip", ("u1: silent", "u2: missing")),
    (BatchesSplit("answer-1", 2), "split", ("2 batches were answered in halves",)),
    (AttemptFailed("answer-1", "Traceback"), "failed", ("Traceback",)),
    (GaveUp("answer-1", "Traceback"), "parked", ("Traceback",)),
    (ModelLoaded(3, 2.04), "ready", ("its model was loaded in 2.0 s",)),
    (WorkerDied(3, "killed", ("answer-1",)), "actor died", ("killed", "answer-1")),
]


@pytest.mark.parametrize(("event", "earlier", "details"), EVENTS)
def test_an_event_reads_the_same_under_its_name_and_under_that_of_earlier_versions(
    folder: StoreFolder, event: Event, earlier: str, details: tuple[str, ...]
) -> None:
    log = RunLog(folder)
    log.write(event)
    line = json.loads((folder.log / "events.jsonl").read_text())
    assert line["event"] == event.name != earlier
    with (folder.log / "events.jsonl").open("a") as file:
        file.write(json.dumps({**line, "event": earlier}) + "\n")
    now, before = log.events()
    assert now == before and (now.name, now.subject, now.details) == (event.name, line["unit"], details)


def test_an_event_cut_by_a_kill_is_left_out_and_the_next_run_goes_on(folder: StoreFolder) -> None:
    log = RunLog(folder)
    log.write(ModelLoaded(0, 1))
    with (folder.log / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-')
    assert [event.subject for event in log.events()] == ["actor 0"]


def test_a_state_file_of_an_earlier_version_is_read(folder: StoreFolder) -> None:
    folder.log.mkdir(parents=True)
    folder.done.mkdir()
    old: dict[str, object] = {"updated": "2026", "steps": {"answer": {"done": 1, "known": 4}}, "running": ["answer-2"]}
    old |= {"failed": {"answer-3": "no"}, "eta_seconds": 2.5}
    (folder.log / "state.json").write_text(json.dumps({"m": old}))
    assert RunLog(folder).states() == {
        "m": ModelState({"answer": (1, 4)}, ("answer-2",), {"answer-3": "no"}, 2.5, "2026")
    }


def test_status_in_json_has_the_keys_of_the_earlier_version_too(folder: StoreFolder) -> None:
    log = RunLog(folder)
    folder.done.mkdir(parents=True)
    log.write_state("m", ModelState({"answer": (1, 4)}, ("answer-2",), {}, 2.5))
    log.write(UnreadableClips("answer-1", ("u1: silent",)))
    status = read_status(folder).as_json()
    assert status["lost"] == status["unreadable_clips"] == ["u1: silent"]
    # Nothing is in flight where no driver runs.
    assert status["models"]["m"]["running"] == status["models"]["m"]["in_flight"] == []
    assert json.loads((folder.log / "state.json").read_text())["m"]["running"] == ["answer-2"]


def test_one_model_s_state_leaves_the_other_s_alone(folder: StoreFolder) -> None:
    log = RunLog(folder)
    log.write_state("a", ModelState({"answer": (1, 4)}))
    log.write_state("b", ModelState({"answer": (2, 4)}))
    log.write_state("a", ModelState({"answer": (3, 4)}))
    assert {model: state.steps["answer"] for model, state in log.states().items()} == {"a": (3, 4), "b": (2, 4)}


def test_studies_of_earlier_plans_stay_and_one_of_the_same_name_is_replaced(folder: StoreFolder) -> None:
    log = RunLog(folder)
    assert log.studies() is None
    condition = StudyCondition("m", "c", "steer", "MAD", "c", 0.5, 0, "audio+text")
    log.write_studies(
        [LoggedStudy("first", None, ("0.01",)), LoggedStudy("second", 0.8, ("0.01", "0.02"), (condition,))]
    )
    log.write_studies([LoggedStudy("first", 0.9, ("0.01", "0.05"))])
    first, second = log.studies() or ()
    assert first == LoggedStudy("first", 0.9, ("0.01", "0.05"))
    assert second.conditions == (condition,)


def test_a_preemption_is_logged_with_its_reason_and_is_no_death(folder: StoreFolder) -> None:
    log = RunLog(folder)
    log.write(WorkerPreempted(3, "the node is drained"))
    (event,) = log.events()
    assert (event.name, event.subject, event.details) == ("worker_preempted", "actor 3", ("the node is drained",))

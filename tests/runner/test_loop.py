"""The driver's loop keeps actors busy to the last unit, whatever is selected, fails, leaves or dies."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from esn_dist.errors import UserError
from esn_dist.runner.loop import MAX_DEATHS, Loop, RunResult
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.runner.schedule import ATTEMPTS, Schedule
from esn_dist.runner.selection_thread import SelectionThread
from esn_dist.runner.stages import ModelPlan, Stages
from esn_dist.store.folder import StoreFolder
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.units import EncodeUnit, SelectUnit, Unit
from esn_dist.testing.pools import FailingPoolConformance, PreemptiblePoolConformance, ReplacingPoolConformance
from esn_dist.worker.load_tracker import LoadTracker
from esn_dist.worker.protocol import (
    MAX_IN_FLIGHT,
    ActorEvent,
    ActorPool,
    Died,
    Failed,
    Finished,
    Joined,
    Left,
    Receipt,
)


class FakePool:
    """Actors in this process. Each call of `events` ends the unit that was submitted first, as `end` says."""

    def __init__(self, size: int, end: Callable[[int, Unit], ActorEvent] | None = None) -> None:
        self.size, self.load = size, LoadTracker()
        self.in_flight, self.submitted = list[tuple[int, Unit]](), list[tuple[int, str]]()
        self.end = end or finished
        self.joining = list(range(size))
        self.numbers = count(size)

    def least_loaded(self, max_in_flight: int) -> int | None:
        return self.load.least_loaded(max_in_flight)

    def submit(self, actor: int, unit: Unit) -> None:
        self.load.change(actor, +1)
        self.in_flight.append((actor, unit))
        self.submitted.append((actor, unit.id))

    def events(self, timeout: float) -> list[ActorEvent]:
        joined, self.joining = self.joining, []
        for actor in joined:
            self.load.add(actor)
        if joined or not self.in_flight:
            time.sleep(0 if joined else timeout)
            return [Joined(actor, 0.1) for actor in joined]
        actor, unit = self.in_flight.pop(0)
        event = self.end(actor, unit)
        if isinstance(event, Died | Left):
            self.replace(actor)
        else:
            self.load.change(actor, -1)
        return [event]

    def replace(self, actor: int) -> None:
        """Forget what `actor` has in flight; another one joins."""
        self.in_flight = [call for call in self.in_flight if call[0] != actor]
        self.load.remove(actor)
        self.joining.append(next(self.numbers))

    def stop(self) -> None:
        self.in_flight.clear()


def finished(actor: int, unit: Unit) -> ActorEvent:
    return Finished(actor, Receipt(unit.id, 0.0))


class TestFakePool(ReplacingPoolConformance, FailingPoolConformance, PreemptiblePoolConformance):
    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        return FakePool(size)

    @classmethod
    def start_failing_pool(cls, reason: str) -> ActorPool:
        return FakePool(1, lambda actor, unit: Failed(actor, unit.id, reason, f"OSError: {reason}"))

    def kill_actor(self, pool: ActorPool, actor: int) -> None:
        assert isinstance(pool, FakePool)
        pool.end = lambda number, unit: Died(actor, "killed") if number == actor else finished(number, unit)

    def preempt_actor(self, pool: ActorPool, actor: int) -> None:
        assert isinstance(pool, FakePool)
        pool.end = lambda number, unit: Left(actor, "drained") if number == actor else finished(number, unit)


HANG_SECONDS = 600  # only a loop that waits for the selection reaches it


def encode(number: int) -> EncodeUnit:
    return EncodeUnit("m", "c", "evaluation", number)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., RunResult]:
    def go(schedule: Schedule, pool: FakePool, select: Callable[[SelectUnit], None] | None = None) -> RunResult:
        folder, result = StoreFolder(tmp_path), RunResult()
        stages = Stages(ModelPlan("m", {}, {}, frozenset(), (), {}), folder, schedule)
        with ProgressDisplay(Console(quiet=True)) as progress:
            loop = Loop(schedule, stages, progress, RunLog(folder), result)
            loop.run(pool, SelectionThread(select or (lambda unit: None)))
        return result

    return go


def test_actors_work_while_a_mask_is_selected(run: Callable[..., RunResult]) -> None:
    schedule, others_done = Schedule(), threading.Event()
    mask = SelectUnit("m", "slow")
    schedule.add(mask)
    for number in range(20):
        schedule.add(encode(number))
    last = encode(99)
    schedule.add(last, [mask.id])

    def end(actor: int, unit: Unit) -> ActorEvent:
        if schedule.finished[unit.step] == 19:
            others_done.set()
        return finished(actor, unit)

    pool = FakePool(2, end)
    result = run(schedule, pool, lambda unit: assert_true(others_done.wait(HANG_SECONDS)))
    assert (result.finished, result.remaining) == (22, 0)
    assert pool.submitted[-1][1] == last.id


def assert_true(value: bool) -> None:
    assert value


def test_an_impossible_mask_is_given_up_and_a_fault_ends_the_run(run: Callable[..., RunResult]) -> None:
    def refuse(unit: SelectUnit) -> None:
        raise UserError("nobody was right")

    schedule = Schedule()
    mask = SelectUnit("m", "a")
    schedule.add(mask)
    schedule.add(encode(0), [mask.id])
    result = run(schedule, FakePool(1), refuse)
    assert "nobody was right" in result.failed[mask.id] and result.remaining == 1

    def break_down(unit: SelectUnit) -> None:
        raise OSError("disk full")

    schedule = Schedule()
    schedule.add(mask)
    with pytest.raises(OSError, match="disk full"):
        run(schedule, FakePool(1), break_down)


def test_the_last_units_wait_for_the_first_idle_actor(run: Callable[..., RunResult]) -> None:
    schedule = Schedule()
    for number in range(6):
        schedule.add(encode(number))

    def end(actor: int, unit: Unit) -> ActorEvent:
        # Six units, four actors: the last two wait, since it is not known yet which actor will be idle first.
        assert all(load <= 1 for load in loads(pool).values())
        return finished(actor, unit)

    pool = FakePool(4, end)
    run(schedule, pool)
    assert sorted(actor for actor, _ in pool.submitted[:4]) == [0, 1, 2, 3]


def loads(pool: FakePool) -> Counter[int]:
    """Units in flight by actor."""
    return Counter(actor for actor, _ in pool.in_flight)


def test_units_of_a_dead_actor_are_done_by_others_and_endless_dying_ends_the_run(run: Callable[..., RunResult]) -> None:
    schedule, died = Schedule(), list[int]()
    for number in range(9):
        schedule.add(encode(number))

    def die_once(actor: int, unit: Unit) -> ActorEvent:
        if actor == 1 and not died:
            died.append(actor)
            return Died(actor, "killed")
        return finished(actor, unit)

    assert run(schedule, FakePool(3, die_once)).finished == 9
    schedule = Schedule()
    for number in range(9):
        schedule.add(encode(number))
    # Every actor that replaces a dead one loads its model, and dies of its first unit.
    with pytest.raises(RuntimeError, match=f"{MAX_DEATHS + 1} actors died"):
        run(schedule, FakePool(3, lambda actor, unit: Died(actor, "no memory")))


def test_units_of_actors_that_leave_are_done_by_others_and_no_attempt_is_counted(run: Callable[..., RunResult]) -> None:
    """Preempted more often than a unit may fail, and than actors may die."""
    schedule, left = Schedule(), list[int]()
    for number in range(3):
        schedule.add(encode(number))

    def leave(actor: int, unit: Unit) -> ActorEvent:
        if len(left) < 2 * max(ATTEMPTS, MAX_DEATHS):
            left.append(actor)
            return Left(actor, "preempted")
        return finished(actor, unit)

    result = run(schedule, FakePool(1, leave))
    assert (result.finished, result.failed) == (3, {})


@pytest.mark.parametrize(
    ("level", "messages"),
    [
        (logging.DEBUG, {f"actor 0 finished {encode(1).id}", f"attempt at {encode(0).id} failed on actor 0"}),
        (logging.WARNING, {f"attempt at {encode(0).id} failed on actor 0"}),
        (logging.ERROR, set[str]()),
    ],
)
def test_a_user_of_the_library_raises_and_lowers_verbosity(
    run: Callable[..., RunResult], caplog: pytest.LogCaptureFixture, level: int, messages: set[str]
) -> None:
    schedule = Schedule()
    for number in range(2):
        schedule.add(encode(number))

    def fail_first(actor: int, unit: Unit) -> ActorEvent:
        broken = unit == encode(0)
        return Failed(actor, unit.id, "no reason", "a traceback") if broken else finished(actor, unit)

    with caplog.at_level(level, logger="esn_dist"):
        run(schedule, FakePool(1, fail_first))
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("esn_dist.")]
    assert bool(logged) == bool(messages)
    assert all(any(text.startswith(message) for text in logged) for message in messages)
    assert all(record.levelno >= level for record in caplog.records)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "submit", "end"]), st.integers(0, 9)), max_size=60))
def test_the_least_loaded_actor_is_that_of_a_search_through_all(steps: list[tuple[str, int]]) -> None:
    tracker, loads, new = LoadTracker(), dict[int, int](), 0
    for step, number in steps:
        actors = sorted(loads)
        actor = actors[number % len(actors)] if actors else None
        if step == "add":
            tracker.add(new)
            loads[new] = 0
            new += 1
        elif actor is None:
            continue
        elif step == "remove":
            tracker.remove(actor)
            del loads[actor]
        elif step == "submit" and loads[actor] < MAX_IN_FLIGHT:
            tracker.change(actor, +1)
            loads[actor] += 1
        elif step == "end" and loads[actor]:
            tracker.change(actor, -1)
            loads[actor] -= 1
        for limit in range(1, MAX_IN_FLIGHT + 1):
            least = tracker.least_loaded(limit)
            fewest = min(loads.values(), default=limit)
            assert (least is None) == (fewest >= limit)
            assert least is None or loads[least] == fewest

"""The driver's loop keeps everybody fed: whoever selects, fails or dies, and down to the last unit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from esn_dist.backends.ray_pool import IN_FLIGHT, Hands
from esn_dist.errors import UserError
from esn_dist.runner.loop import DEATHS, Loop, Result
from esn_dist.runner.progress import Progress
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.selection_thread import Desk
from esn_dist.runner.stages import Stages
from esn_dist.store.folder import StoreFolder
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.units import EncodeUnit, SelectUnit, Unit
from esn_dist.worker.protocol import Died, Event, Finished, Ready, Receipt


class Workers:
    """Actors in this process: each look ends the unit that was given first, as `end` says."""

    def __init__(self, size: int, end: Callable[[int, Unit], Event] | None = None) -> None:
        self.hands, self.calls, self.given = Hands(), list[tuple[int, Unit]](), list[tuple[int, str]]()
        self.end = end or (lambda actor, unit: Finished(Receipt(unit.id, 0.0, ())))
        for actor in range(size):
            self.hands.add(actor)

    def __len__(self) -> int:
        return len(self.hands)

    def hungry(self, ahead: bool) -> int | None:
        return self.hands.emptiest(IN_FLIGHT if ahead else 1)

    def give(self, actor: int, unit: Unit) -> None:
        self.hands.change(actor, +1)
        self.calls.append((actor, unit))
        self.given.append((actor, unit.id))

    def events(self, timeout: float) -> list[Event]:
        if not self.calls:
            time.sleep(timeout)
            return []
        actor, unit = self.calls.pop(0)
        event = self.end(actor, unit)
        if isinstance(event, Died):
            self.calls = [call for call in self.calls if call[0] != actor]
            self.hands.remove(actor)
            self.hands.add(actor)
        else:
            self.hands.change(actor, -1)
        return [event]


def encode(number: int) -> EncodeUnit:
    return EncodeUnit("m", "c", "evaluation", number)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    def go(schedule: Schedule, workers: Workers, select: Callable[[SelectUnit], None] | None = None) -> Result:
        folder, result = StoreFolder(tmp_path), Result()
        stages = Stages("m", {}, {}, [], [], {}, folder, schedule)
        with Progress(Console(quiet=True)) as progress:
            loop = Loop(schedule, stages, progress, RunLog(folder), result)
            loop.run(workers, Desk(select or (lambda unit: None)))
        return result

    return go


def test_actors_work_on_while_a_mask_is_selected(run: Callable[..., Result]) -> None:
    schedule, others_done = Schedule(), threading.Event()
    mask = SelectUnit("m", "slow")
    schedule.add(mask)
    for number in range(20):
        schedule.add(encode(number))
    last = encode(99)
    schedule.add(last, [mask.id])

    def end(actor: int, unit: Unit) -> Event:
        if schedule.finished[unit.step] == 19:
            others_done.set()
        return Finished(Receipt(unit.id, 0.0, ()))

    workers = Workers(2, end)
    result = run(schedule, workers, lambda unit: assert_true(others_done.wait(20)))
    assert (result.finished, result.left) == (22, 0)
    assert workers.given[-1][1] == last.id


def assert_true(value: bool) -> None:
    assert value


def test_a_mask_that_cannot_be_is_parked_and_a_fault_ends_the_run(run: Callable[..., Result]) -> None:
    def refuse(unit: SelectUnit) -> None:
        raise UserError("nobody was right")

    schedule = Schedule()
    mask = SelectUnit("m", "a")
    schedule.add(mask)
    schedule.add(encode(0), [mask.id])
    result = run(schedule, Workers(1), refuse)
    assert "nobody was right" in result.parked[mask.id] and result.left == 1

    def break_down(unit: SelectUnit) -> None:
        raise OSError("disk full")

    schedule = Schedule()
    schedule.add(mask)
    with pytest.raises(OSError, match="disk full"):
        run(schedule, Workers(1), break_down)


def test_the_last_units_wait_for_whoever_is_idle_first(run: Callable[..., Result]) -> None:
    schedule = Schedule()
    for number in range(6):
        schedule.add(encode(number))

    def end(actor: int, unit: Unit) -> Event:
        # Six units, four actors: the last two wait, for nobody knows yet who will be idle first.
        assert all(held <= 1 for held in held_by(workers).values())
        return Finished(Receipt(unit.id, 0.0, ()))

    workers = Workers(4, end)
    run(schedule, workers)
    assert sorted(actor for actor, _ in workers.given[:4]) == [0, 1, 2, 3]


def held_by(workers: Workers) -> dict[int, int]:
    held: dict[int, int] = {}
    for actor, _ in workers.calls:
        held[actor] = held.get(actor, 0) + 1
    return held


def test_what_a_dead_actor_held_is_done_by_others_and_endless_dying_ends_the_run(run: Callable[..., Result]) -> None:
    schedule, died = Schedule(), list[int]()
    for number in range(9):
        schedule.add(encode(number))

    def die_once(actor: int, unit: Unit) -> Event:
        if actor == 1 and not died:
            died.append(actor)
            return Died(actor, "killed")
        return Finished(Receipt(unit.id, 0.0, ()))

    assert run(schedule, Workers(3, die_once)).finished == 9
    schedule = Schedule()
    for number in range(9):
        schedule.add(encode(number))
    with pytest.raises(RuntimeError, match=f"{DEATHS + 1} actors died"):
        run(schedule, Workers(3, lambda actor, unit: Died(actor, "no memory")))


class Loaders(Workers):
    """Actors that load their model, whenever one was replaced, before anything else is heard of them."""

    def events(self, timeout: float) -> list[Event]:
        found = super().events(timeout)
        return [*found, *(Ready(event.actor, 0.1) for event in found if isinstance(event, Died))]


def test_actors_that_load_their_model_and_die_of_their_first_unit_end_the_run(run: Callable[..., Result]) -> None:
    schedule = Schedule()
    for number in range(9):
        schedule.add(encode(number))
    with pytest.raises(RuntimeError, match=f"{DEATHS + 1} actors died"):
        run(schedule, Loaders(3, lambda actor, unit: Died(actor, "no memory")))


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "give", "end"]), st.integers(0, 9)), max_size=60))
def test_the_emptiest_actor_is_found_as_by_looking_at_all(steps: list[tuple[str, int]]) -> None:
    hands, held, new = Hands(), dict[int, int](), 0
    for step, number in steps:
        actors = sorted(held)
        actor = actors[number % len(actors)] if actors else None
        if step == "add":
            hands.add(new)
            held[new] = 0
            new += 1
        elif actor is None:
            continue
        elif step == "remove":
            hands.remove(actor)
            del held[actor]
        elif step == "give" and held[actor] < IN_FLIGHT:
            hands.change(actor, +1)
            held[actor] += 1
        elif step == "end" and held[actor]:
            hands.change(actor, -1)
            held[actor] -= 1
        for most in range(1, IN_FLIGHT + 1):
            found = hands.emptiest(most)
            fewest = min(held.values(), default=most)
            assert (found is None) == (fewest >= most)
            assert found is None or held[found] == fewest

"""Every unit runs after what it needs, once, whatever fails or dies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from esn_dist.runner.schedule import ATTEMPTS, Schedule
from esn_dist.sweep.enums import Step
from esn_dist.sweep.units import EncodeUnit, SelectUnit


class Machine(RuleBasedStateMachine):
    """Units 0, 1, 2 …, each needing some before it, against a plain record of what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule()
        self.needs: dict[str, set[str]] = {}
        self.held: dict[str, int] = {}
        self.failures: dict[str, int] = {}

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        unit = SelectUnit("m", str(len(self.needs)))
        needs = data.draw(st.sets(st.sampled_from(sorted(self.needs)))) if self.needs else set()
        self.needs[unit.id] = needs
        self.schedule.add(unit, needs)
        self.schedule.add(unit, needs)  # a second time changes nothing

    @rule(worker=st.integers(0, 2))
    def take(self, worker: int) -> None:
        unit = self.schedule.take(worker)
        ready = {
            id
            for id, needs in self.needs.items()
            if needs <= self.schedule.done and id not in {*self.schedule.done, *self.held, *self.schedule.parked}
        }
        assert (unit is None) == (not ready)
        if unit:
            assert unit.id in ready
            self.held[unit.id] = worker

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[id]
        self.schedule.finish(id)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[id]
        self.failures[id] = self.failures.get(id, 0) + 1
        assert self.schedule.fail(id, "why") == (self.failures[id] == ATTEMPTS)

    @rule(worker=st.integers(0, 2))
    def lose(self, worker: int) -> None:
        lost = sorted(id for id, holder in self.held.items() if holder == worker)
        for id in lost:
            del self.held[id]
            self.failures[id] = self.failures.get(id, 0) + 1
        assert self.schedule.lose(worker, "died") == [id for id in lost if self.failures[id] == ATTEMPTS]

    @invariant()
    def nobody_holds_what_is_done_or_parked(self) -> None:
        assert self.schedule.running == self.held
        assert not self.held.keys() & (self.schedule.done | self.schedule.parked.keys())
        assert self.schedule.left == len(self.needs) - len(self.schedule.done) - len(self.schedule.parked)


TestSchedule = Machine.TestCase
TestSchedule.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_needs_a_parked_unit_never_runs_and_the_rest_does() -> None:
    schedule = Schedule()
    first, second, third = (SelectUnit("m", name) for name in "abc")
    schedule.add(first)
    schedule.add(second, [first.id])
    schedule.add(third)
    assert schedule.take("w") == first
    schedule.park(first.id, "impossible")
    assert schedule.take("w") == third
    schedule.finish(third.id)
    assert schedule.take("w") is None
    assert schedule.over
    assert schedule.left == 1


def test_units_of_an_earlier_run_are_not_run_again() -> None:
    unit, dependent = SelectUnit("m", "a"), SelectUnit("m", "b")
    schedule = Schedule([unit.id])
    schedule.add(unit)
    schedule.add(dependent, [unit.id])
    assert schedule.take("w") == dependent


def test_early_steps_go_first_and_a_worker_may_ask_for_some() -> None:
    schedule = Schedule()
    mask, encode = SelectUnit("m", "a"), EncodeUnit("m", "c", "evaluation", 0)
    schedule.add(mask)
    schedule.add(encode)
    assert schedule.ready(Step.ENCODE, Step.ANSWER) == 1
    assert schedule.take("w", Step.ANSWER) is None
    assert schedule.take("w") == encode
    assert schedule.take("driver", Step.SELECT) == mask


@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.integers(0, 9), st.booleans())
def test_a_joint_stands_for_all_that_it_joins(numbers: list[int], earlier: int, join_first: bool) -> None:
    units = [EncodeUnit("m", "c", "evaluation", number) for number in numbers]
    waits = [SelectUnit("m", name) for name in "ab"]
    schedule = Schedule([EncodeUnit("m", "c", "evaluation", earlier).id])
    if join_first:
        schedule.join("all", [unit.id for unit in units])
    for unit in units:
        schedule.add(unit)
    if not join_first:
        schedule.join("all", [unit.id for unit in units])
    for waiting in waits:
        schedule.add(waiting, ["all"])
    while taken := schedule.take("w", Step.ENCODE):
        assert not schedule.ready(Step.SELECT)
        schedule.finish(taken.id)
    assert schedule.ready(Step.SELECT) == 2
    assert schedule.finished[Step.ENCODE] == schedule.known[Step.ENCODE] == len(units)

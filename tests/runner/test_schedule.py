"""Every unit runs once, after all that it needs, whatever fails, leaves or dies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from esn_dist.runner.schedule import ATTEMPTS, Schedule
from esn_dist.sweep.units import EncodeUnit, SelectUnit, Step


class Machine(RuleBasedStateMachine):
    """Units 0, 1, 2 …, each needing some before it, against a plain record of what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule()
        self.needs: dict[str, set[str]] = {}
        self.in_flight: dict[str, int] = {}
        self.failures: dict[str, int] = {}

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        unit = SelectUnit("m", str(len(self.needs)))
        needs = data.draw(st.sets(st.sampled_from(sorted(self.needs)))) if self.needs else set()
        self.needs[unit.id] = needs
        self.schedule.add(unit, needs)
        self.schedule.add(unit, needs)  # a second time changes nothing

    @rule(worker=st.integers(0, 2))
    def next_ready(self, worker: int) -> None:
        unit = self.schedule.next_ready(worker)
        ready = {
            id
            for id, needs in self.needs.items()
            if needs <= self.schedule.done and id not in {*self.schedule.done, *self.in_flight, *self.schedule.failed}
        }
        assert (unit is None) == (not ready)
        if unit:
            assert unit.id in ready
            self.in_flight[unit.id] = worker

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.in_flight)))
        del self.in_flight[id]
        self.schedule.finish(id)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.in_flight)))
        del self.in_flight[id]
        self.failures[id] = self.failures.get(id, 0) + 1
        assert self.schedule.fail(id, "why") == (self.failures[id] == ATTEMPTS)

    @rule(worker=st.integers(0, 2))
    def worker_died(self, worker: int) -> None:
        units = self.withdraw(worker)
        for id in units:
            self.failures[id] = self.failures.get(id, 0) + 1
        assert self.schedule.worker_died(worker, "died") == [id for id in units if self.failures[id] == ATTEMPTS]

    @rule(worker=st.integers(0, 2))
    def worker_preempted(self, worker: int) -> None:
        """No attempt is counted, however often."""
        self.withdraw(worker)
        self.schedule.worker_preempted(worker)

    def withdraw(self, worker: int) -> list[str]:
        units = sorted(id for id, holder in self.in_flight.items() if holder == worker)
        for id in units:
            del self.in_flight[id]
        return units

    @invariant()
    def no_done_or_failed_unit_is_in_flight(self) -> None:
        assert self.schedule.in_flight == self.in_flight
        assert not self.in_flight.keys() & (self.schedule.done | self.schedule.failed.keys())
        assert self.schedule.remaining == len(self.needs) - len(self.schedule.done) - len(self.schedule.failed)


TestSchedule = Machine.TestCase
TestSchedule.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_needs_a_failed_unit_never_runs_and_the_rest_does() -> None:
    schedule = Schedule()
    first, second, third = (SelectUnit("m", name) for name in "abc")
    schedule.add(first)
    schedule.add(second, [first.id])
    schedule.add(third)
    assert schedule.next_ready("w") == first
    schedule.give_up(first.id, "impossible")
    assert schedule.next_ready("w") == third
    schedule.finish(third.id)
    assert schedule.next_ready("w") is None
    assert schedule.exhausted
    assert schedule.remaining == 1


def test_units_of_an_earlier_run_are_not_run_again() -> None:
    unit, dependent = SelectUnit("m", "a"), SelectUnit("m", "b")
    schedule = Schedule([unit.id])
    schedule.add(unit)
    schedule.add(dependent, [unit.id])
    assert schedule.next_ready("w") == dependent


def test_early_steps_go_first_and_a_worker_may_take_some_steps_only() -> None:
    schedule = Schedule()
    mask, encode = SelectUnit("m", "a"), EncodeUnit("m", "c", "evaluation", 0)
    schedule.add(mask)
    schedule.add(encode)
    assert schedule.ready(Step.ENCODE, Step.ANSWER) == 1
    assert schedule.next_ready("w", Step.ANSWER) is None
    assert schedule.next_ready("w") == encode
    assert schedule.next_ready("driver", Step.SELECT) == mask


@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.integers(0, 9), st.booleans())
def test_a_barrier_is_reached_once_all_its_units_are_done(
    numbers: list[int], earlier: int, barrier_first: bool
) -> None:
    units = [EncodeUnit("m", "c", "evaluation", number) for number in numbers]
    waits = [SelectUnit("m", name) for name in "ab"]
    schedule = Schedule([EncodeUnit("m", "c", "evaluation", earlier).id])
    if barrier_first:
        schedule.barrier("all", [unit.id for unit in units])
    for unit in units:
        schedule.add(unit)
    if not barrier_first:
        schedule.barrier("all", [unit.id for unit in units])
    for waiting in waits:
        schedule.add(waiting, ["all"])
    while ready := schedule.next_ready("w", Step.ENCODE):
        assert not schedule.ready(Step.SELECT)
        schedule.finish(ready.id)
    assert schedule.ready(Step.SELECT) == 2
    assert schedule.finished[Step.ENCODE] == schedule.added[Step.ENCODE] == len(units)

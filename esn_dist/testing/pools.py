"""Tests that every `ActorPool` must pass: inherit the classes here that fit it, and say how its pools are started.

Knows no Ray. Shipped with the package, so that a backend elsewhere can inherit the tests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from esn_dist.sweep.units import EncodeUnit
from esn_dist.worker.protocol import MAX_IN_FLIGHT, ActorEvent, ActorPool, Died, Failed, Finished, Joined, Left

SIZE = 2
HANG_SECONDS = 600.0  # an actor takes seconds to join; only a hang takes so long


@dataclass(frozen=True)
class JoinedPool:
    """A pool whose actors are ready, and what was seen while they joined."""

    pool: ActorPool
    ready: list[Joined]
    offered_before: int | None


def unit(number: int) -> EncodeUnit:
    return EncodeUnit("model", "corpus", "evaluation", number)


def first_joined(pool: ActorPool) -> int:
    """The first actor that joins."""
    return next(event.actor for event in events_until(pool, Joined) if isinstance(event, Joined))


def events_until(pool: ActorPool, kind: type[ActorEvent], number: int = 1) -> list[ActorEvent]:
    """All events up to the `number`th of a kind."""
    events: list[ActorEvent] = []
    deadline = time.monotonic() + HANG_SECONDS
    while sum(isinstance(event, kind) for event in events) < number:
        assert time.monotonic() < deadline, f"no {kind.__name__} in {HANG_SECONDS:.0f} s, only {events}"
        events += pool.events(0.2)
    return events


class ActorPoolConformance:
    """Actors join, take units, and report each of them once."""

    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        """A new pool of `size` actors that finish any `EncodeUnit`."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def joined(cls) -> Iterator[JoinedPool]:
        """One pool for all tests of a class; each test leaves no unit in flight."""
        pool = cls.start_pool(SIZE)
        offered = pool.least_loaded(MAX_IN_FLIGHT)
        events = events_until(pool, Joined, SIZE)
        yield JoinedPool(pool, [event for event in events if isinstance(event, Joined)], offered)
        pool.stop()

    def test_an_actor_is_offered_only_after_it_has_joined(self, joined: JoinedPool) -> None:
        assert joined.pool.size == SIZE and joined.offered_before is None
        assert len({event.actor for event in joined.ready}) == SIZE
        assert all(event.load_seconds >= 0 for event in joined.ready)
        assert joined.pool.least_loaded(1) in {event.actor for event in joined.ready}

    def test_units_go_to_the_actor_with_the_fewest_in_flight(self, joined: JoinedPool) -> None:
        pool, numbers = joined.pool, range(SIZE * MAX_IN_FLIGHT)
        submitted: dict[str, int] = {}
        for number in numbers:
            load = number // SIZE + 1
            assert load == 1 or pool.least_loaded(load - 1) is None, "a fuller actor is offered before an emptier one"
            actor = pool.least_loaded(load)
            assert actor is not None
            pool.submit(actor, unit(number))
            submitted[unit(number).id] = actor
        assert pool.least_loaded(MAX_IN_FLIGHT) is None, "every actor has all the units that it may have"
        finished = [e for e in events_until(pool, Finished, len(numbers)) if isinstance(e, Finished)]
        assert {event.receipt.unit: event.actor for event in finished} == submitted and len(finished) == len(numbers)
        assert pool.least_loaded(1) is not None

    def test_an_idle_pool_reports_nothing(self, joined: JoinedPool) -> None:
        assert joined.pool.events(0.01) == []

    def test_a_stopped_pool_reports_none_of_the_units_that_were_in_flight(self) -> None:
        pool = self.start_pool(1)
        actor = first_joined(pool)
        for number in range(MAX_IN_FLIGHT):
            pool.submit(actor, unit(number))
        pool.stop()
        assert pool.events(0.1) == []


class FailingPoolConformance:
    """A unit that raises is reported as failed. For pools whose units can fail; inherit it with the pool's tests."""

    @classmethod
    def start_failing_pool(cls, reason: str) -> ActorPool:
        """A pool of one actor in which every unit raises an `OSError` with the text `reason`."""
        raise NotImplementedError

    def test_a_failed_unit_is_reported_with_its_reason_and_the_actor_takes_the_next(self) -> None:
        pool = self.start_failing_pool("no such device")
        actor = first_joined(pool)
        for number in range(2):
            pool.submit(actor, unit(number))
            (failed,) = events_until(pool, Failed)
            assert isinstance(failed, Failed) and (failed.actor, failed.unit) == (actor, unit(number).id)
            assert "no such device" in failed.reason and "no such device" in failed.traceback
            assert pool.least_loaded(1) == actor and pool.size == 1
        pool.stop()


class PreemptiblePoolConformance:
    """A preempted actor leaves and does not die. For pools whose cluster takes actors away."""

    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        """A new pool of `size` actors that finish any `EncodeUnit`."""
        raise NotImplementedError

    def preempt_actor(self, pool: ActorPool, actor: int) -> None:
        """Take `actor` away as the cluster does."""
        raise NotImplementedError

    def test_a_preempted_actor_leaves_and_another_one_joins(self) -> None:
        pool = self.start_pool(1)
        actor = first_joined(pool)
        self.preempt_actor(pool, actor)
        pool.submit(actor, unit(0))
        events = events_until(pool, Joined)
        assert [event.actor for event in events if isinstance(event, Left)] == [actor]
        assert not any(isinstance(event, Died | Finished | Failed) for event in events) and pool.size == 1
        pool.stop()


class ReplacingPoolConformance(ActorPoolConformance):
    """An actor that dies is reported once, and another one joins in its place."""

    def kill_actor(self, pool: ActorPool, actor: int) -> None:
        """End the process of `actor` from outside."""
        raise NotImplementedError

    def test_units_of_a_dead_actor_are_not_reported_and_a_new_actor_joins(self, joined: JoinedPool) -> None:
        pool = joined.pool
        victim = pool.least_loaded(1)
        assert victim is not None
        self.kill_actor(pool, victim)
        pool.submit(victim, unit(0))
        events = events_until(pool, Joined)
        assert [event.actor for event in events if isinstance(event, Died | Left)] == [victim]
        assert not any(isinstance(event, Finished) for event in events)
        assert pool.size == SIZE
        (new,) = [event.actor for event in events if isinstance(event, Joined)]
        pool.submit(new, unit(0))
        assert any(isinstance(e, Finished) and e.actor == new for e in events_until(pool, Finished))

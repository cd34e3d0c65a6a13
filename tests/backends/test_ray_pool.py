"""Ray's pool keeps the protocol, with the program's handles and with the idle actors of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from ray.exceptions import ActorDiedError

from esn_dist.backends.ray_actor import start_actor
from esn_dist.backends.ray_pool import RayPool
from esn_dist.errors import UserError
from esn_dist.sweep.units import EncodeUnit, Unit
from esn_dist.testing.pools import (
    ActorPoolConformance,
    FailingPoolConformance,
    PreemptiblePoolConformance,
    ReplacingPoolConformance,
    events_until,
)
from esn_dist.worker.protocol import ActorEvent, ActorPool, Died, Finished, Joined, Receipt


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    yield
    ray.shutdown()


class Quick:
    """Finishes any unit at once."""

    def load_seconds(self) -> float:
        return 0.0

    def execute(self, unit: Unit) -> Receipt:
        return Receipt(unit.id, 0.0)


class Broken:
    """Raises `problem` in one of its methods."""

    def __init__(self, problem: Exception, method: str) -> None:
        self.problem, self.method = problem, method
        self._perhaps_raise("construction")

    def load_seconds(self) -> float:
        self._perhaps_raise("load_seconds")
        return 0.0

    def execute(self, unit: Unit) -> Receipt:
        self._perhaps_raise("execute")
        return Receipt(unit.id, 0.0)

    def _perhaps_raise(self, method: str) -> None:
        if method == self.method:
            raise self.problem


def quick_pool(size: int) -> RayPool:
    return RayPool(lambda: start_actor(Quick, num_cpus=0), size)


def broken_pool(problem: Exception, method: str) -> RayPool:
    return RayPool(lambda: start_actor(Broken, problem, method, num_cpus=0), 1)


@pytest.mark.usefixtures("cluster")
class TestRayPool(ReplacingPoolConformance, FailingPoolConformance):
    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        return quick_pool(size)

    @classmethod
    def start_failing_pool(cls, reason: str) -> ActorPool:
        return broken_pool(OSError(reason), "execute")

    def kill_actor(self, pool: ActorPool, actor: int) -> None:
        assert isinstance(pool, RayPool)
        pool._actors[actor].kill()


@pytest.mark.usefixtures("cluster")
class TestPreemptedRayPool(PreemptiblePoolConformance):
    """A cluster that takes a node away reports it with the actor's error."""

    @pytest.fixture(autouse=True)
    def preempted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ActorDiedError, "preempted", True)

    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        return quick_pool(size)

    def preempt_actor(self, pool: ActorPool, actor: int) -> None:
        assert isinstance(pool, RayPool)
        pool._actors[actor].kill()


@pytest.mark.usefixtures("cluster")
class TestIdlePool(ActorPoolConformance):
    """The actors of `benchmarks/scheduler.py --ray`."""

    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        from scheduler import idle_pool  # at the top, actors would import it with this module, and have no such path

        return idle_pool(size)


def first(pool: RayPool, kind: type[ActorEvent]) -> ActorEvent:
    return events_until(pool, kind)[-1]


def test_invalid_input_is_raised_as_the_actor_reported_it(cluster: None) -> None:
    problem = UserError("too big", where="sweep.yaml", expected="a smaller one", fix="take a smaller one")
    pool = broken_pool(problem, "load_seconds")
    with pytest.raises(UserError) as error:
        first(pool, Joined)
    assert type(error.value) is UserError and str(error.value) == str(problem)
    pool.stop()


def test_a_fault_while_loading_is_a_death(cluster: None) -> None:
    for method in ("construction", "load_seconds"):
        pool = broken_pool(OSError("no such device"), method)
        died = first(pool, Died)
        assert isinstance(died, Died) and "no such device" in died.reason and pool.size == 1
        pool.stop()


def test_an_actor_that_the_cluster_has_no_resources_for_is_given_no_unit(cluster: None) -> None:
    """Three actors of one core each on two cores: the third would keep its units forever."""
    pool = RayPool(lambda: start_actor(Quick), 3)
    ready = [event.actor for event in events_until(pool, Joined, 2) if isinstance(event, Joined)]
    units = [EncodeUnit("m", "c", "evaluation", number) for number in range(5)]
    for unit in units:
        actor = pool.least_loaded(3)
        assert actor in ready
        pool.submit(actor, unit)
    finished = [e.receipt.unit for e in events_until(pool, Finished, len(units)) if isinstance(e, Finished)]
    assert sorted(finished) == sorted(unit.id for unit in units)
    assert pool.size == 3
    pool.stop()

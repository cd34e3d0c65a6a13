"""A model that cannot be loaded: what the user can mend ends the run with a sentence, a fault keeps its traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from esn_dist.backends.ray_pool import Pool
from esn_dist.errors import UserError
from esn_dist.sweep.units import EncodeUnit
from esn_dist.worker.protocol import Died, Event, Failed, Finished, Ready, Receipt


def test_too_little_memory_ends_a_real_run_with_one_sentence_and_not_with_dead_actors(runner: Any) -> None:
    sweep: Path = runner.sweep("too-big")
    text = sweep.read_text(encoding="utf-8")
    sweep.write_text(text.replace("[tiny-qwen2.5-omni]", "[{name: tiny-qwen2.5-omni, memory: 0.0001}]"), "utf-8")
    output, _ = (process := runner.start(sweep)).communicate(timeout=120)
    assert process.returncode == 2, output
    assert output.count("the weights need") == output.count("error: ") == 1
    assert "cpu has 0.1 MB for them" in output and "offload: disk" in output
    assert "Traceback" not in output and "died" not in output


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    yield
    ray.shutdown()


def started(problem: Exception, call: str) -> Pool:
    """One actor that raises `problem` in `call`."""

    def perhaps(now: str) -> None:
        if now == call:
            raise problem

    class Broken:
        def __init__(self) -> None:
            perhaps("construction")

        def load_seconds(self) -> float:
            perhaps("load_seconds")
            return 0.0

        def run(self, unit: EncodeUnit) -> None:
            perhaps("run")

    remote: Any = ray.remote(num_cpus=0)(Broken)
    return Pool(remote.remote, 1)


def first(pool: Pool, sort: type[Event]) -> Event:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := [event for event in pool.events(1.0) if isinstance(event, sort)]:
            return found[0]
    raise AssertionError(f"no {sort.__name__} in a minute")


def test_a_mistake_to_mend_is_raised_as_it_was_told_in_the_actor(cluster: None) -> None:
    problem = UserError("too big", where="sweep.yaml", expected="a smaller one", fix="take a smaller one")
    pool = started(problem, "load_seconds")
    with pytest.raises(UserError) as error:
        first(pool, Ready)
    assert type(error.value) is UserError and str(error.value) == str(problem)
    pool.stop()


def test_a_fault_while_loading_is_a_death_and_a_fault_of_a_unit_is_a_failure(cluster: None) -> None:
    pool = started(OSError("no such device"), "construction")
    died = first(pool, Died)
    assert isinstance(died, Died) and "no such device" in died.reason and len(pool) == 1
    pool.stop()
    pool = started(OSError("no such device"), "run")
    assert isinstance(first(pool, Ready), Ready)
    actor = pool.hungry(ahead=True)
    assert actor is not None
    pool.give(actor, EncodeUnit("m", "c", "evaluation", 0))
    failed = first(pool, Failed)
    assert isinstance(failed, Failed) and "no such device" in failed.reason
    pool.stop()


class Quick:
    """Finishes whatever it is given."""

    def load_seconds(self) -> float:
        return 0.0

    def run(self, unit: EncodeUnit) -> Receipt:
        return Receipt(unit.id, 0.0, ())


def test_an_actor_that_finds_no_room_in_the_cluster_is_given_nothing(cluster: None) -> None:
    """Three actors of one core each on two cores: the third would hold its units for ever."""
    remote: Any = ray.remote(num_cpus=1)(Quick)
    pool = Pool(remote.remote, 3)
    assert pool.hungry(ahead=True) is None, "an actor that is not ready was offered"
    units = {EncodeUnit("m", "c", "evaluation", n) for n in range(9)}
    left, finished = list(units), set[str]()
    deadline = time.monotonic() + 60
    while len(finished) < len(units) and time.monotonic() < deadline:
        while left and (actor := pool.hungry(ahead=True)) is not None:
            pool.give(actor, left.pop())
        finished |= {event.receipt.unit for event in pool.events(0.5) if isinstance(event, Finished)}
    assert finished == {unit.id for unit in units}
    assert len(pool) == 3
    pool.stop()

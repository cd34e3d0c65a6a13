"""A pool of Ray actors, which are replaced when they die.

Knows which call of which actor is in flight, not what a unit means or what an actor holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import ray
from ray.exceptions import RayActorError, RayTaskError

from esn_dist.backends.ray_actor import Reference
from esn_dist.errors import UserError
from esn_dist.sweep.units import Unit
from esn_dist.worker.load_tracker import LoadTracker
from esn_dist.worker.protocol import ActorEvent, ActorHandle, Died, Failed, Finished, Joined, Left, Receipt


@dataclass(frozen=True, slots=True)
class _Call:
    """A call in flight. `unit` is None while the actor loads its model."""

    actor: int
    unit: str | None


class RayPool:
    """An `ActorPool` of `size` actors.

    Args:
        start: starts one actor.
    """

    def __init__(self, start: Callable[[], ActorHandle[Reference]], size: int) -> None:
        self._start = start
        self._actors: dict[int, ActorHandle[Reference]] = {}
        self._load = LoadTracker()
        self._calls: dict[Reference, _Call] = {}
        self._numbers = count()
        for _ in range(size):
            self._start_actor()

    @property
    def size(self) -> int:
        """See `ActorPool.size`."""
        return len(self._actors)

    def least_loaded(self, max_in_flight: int) -> int | None:
        """See `ActorPool.least_loaded`."""
        return self._load.least_loaded(max_in_flight)

    def submit(self, actor: int, unit: Unit) -> None:
        """See `ActorPool.submit`."""
        self._calls[self._actors[actor].submit(unit)] = _Call(actor, unit.id)
        self._load.change(actor, +1)

    def events(self, timeout: float) -> list[ActorEvent]:
        """See `ActorPool.events`."""
        if not self._calls:
            time.sleep(timeout)
            return []
        calls = list(self._calls)
        ready, _ = ray.wait(calls, num_returns=1, timeout=timeout)
        if ready:
            # A look at thousands of calls costs milliseconds, so one look fetches all that have ended.
            ready, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
        return [self._event(reference) for reference in ready if reference in self._calls]

    def stop(self) -> None:
        """See `ActorPool.stop`."""
        for actor in self._actors.values():
            actor.kill()
        self._actors.clear()
        self._calls.clear()

    def _start_actor(self) -> None:
        number = next(self._numbers)
        self._actors[number] = self._start()
        # The answer makes the actor ready. An actor that the cluster has no resources for would keep its units forever.
        self._calls[self._actors[number].load_seconds()] = _Call(number, None)

    def _event(self, reference: Reference) -> ActorEvent:
        call = self._calls[reference]
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            return self._failure(reference, error)
        except RayActorError as error:
            self._replace(call.actor)
            return Left(call.actor, str(error)) if error.preempted else Died(call.actor, str(error))
        self._end(reference)
        if isinstance(result, Receipt):
            return Finished(call.actor, result)
        self._load.add(call.actor)
        return Joined(call.actor, result)

    def _failure(self, reference: Reference, error: RayTaskError) -> ActorEvent:
        call = self._end(reference)
        if call.unit is None:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            self._actors[call.actor].kill()
            self._replace(call.actor)
            return Died(call.actor, str(error))
        return Failed(call.actor, call.unit, _last_line(error), str(error))

    def _replace(self, actor: int) -> None:
        self._calls = {reference: call for reference, call in self._calls.items() if call.actor != actor}
        del self._actors[actor]
        self._load.remove(actor)
        self._start_actor()

    def _end(self, reference: Reference) -> _Call:
        call = self._calls.pop(reference)
        if call.unit is not None:
            self._load.change(call.actor, -1)
        return call


def _last_line(error: RayTaskError) -> str:
    return str(error).strip().splitlines()[-1]

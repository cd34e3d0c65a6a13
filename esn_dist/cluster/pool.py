"""Ray actors that hold one model: started, fed a few units ahead, replaced when they die.

Knows which actor has which call in flight, nothing of what units mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from esn_dist.cluster.actor import Actor
from esn_dist.cluster.events import Died, Event, Failed, Finished
from esn_dist.cluster.job import Job
from esn_dist.sweep.units import Unit

IN_FLIGHT = 2  # units an actor holds: the next one waits there, so that it never waits for the driver


class Pool:
    """`size` actors of one job.

    Args:
        options: Ray's resources of an actor, such as `num_cpus` and `num_gpus`.
    """

    def __init__(self, job: Job, size: int, options: dict[str, Any]) -> None:
        self._job = ray.put(job)
        self._options = options
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, str]] = {}  # reference → (actor, unit)
        self._numbers = iter(range(1_000_000_000))
        for _ in range(size):
            self._start()

    @property
    def hungry(self) -> Iterator[int]:
        """Actors that hold fewer units than they may, the emptiest first."""
        held = dict.fromkeys(self._actors, 0)
        for actor, unit in self._calls.values():
            held[actor] += bool(unit)
        yield from sorted((a for a in held if held[a] < IN_FLIGHT), key=lambda a: held[a])

    def give(self, actor: int, unit: Unit) -> None:
        """Have `actor` execute `unit` after what it holds already."""
        self._calls[self._actors[actor].run.remote(unit)] = (actor, unit.id)

    def events(self, timeout: float) -> list[Event]:
        """What happened within `timeout` seconds; returns at the first thing that did."""
        ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=timeout)
        found = [self._event(reference) for reference in ready if reference in self._calls]
        return [event for event in found if event is not None]

    def stop(self) -> None:
        """Kill all actors; what they held is lost."""
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._calls.clear()

    def _start(self) -> None:
        number = next(self._numbers)
        actor: Any = Actor  # what ray.remote makes of the class, which its types do not say
        self._actors[number] = actor.options(**self._options).remote(self._job)
        # The first call shows a model that cannot be loaded even where no unit is left to hand out.
        self._calls[self._actors[number].pid.remote()] = (number, "")

    def _event(self, reference: Any) -> Event | None:
        actor, unit = self._calls[reference]
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            del self._calls[reference]
            return Failed(unit, _last_line(error), str(error))
        except RayActorError as error:
            self._calls = {ref: call for ref, call in self._calls.items() if call[0] != actor}
            del self._actors[actor]
            self._start()
            return Died(actor, str(error))
        del self._calls[reference]
        return Finished(result) if unit else None


def _last_line(error: RayTaskError) -> str:
    return str(error).strip().splitlines()[-1]

"""The driver's loop: hands ready units to workers, takes in what happened to them, until nothing can run any more.

Knows nothing of Ray, models or arrays: workers are whatever can be fed, and how a mask is selected it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from esn_dist.cluster.events import Died, Event, Failed, Finished, Workers
from esn_dist.cluster.progress import Log, Progress
from esn_dist.cluster.schedule import Schedule
from esn_dist.cluster.stages import Stages
from esn_dist.errors import UserError
from esn_dist.sweep.units import SelectUnit

POLL = 0.5  # seconds between two looks at signals and the progress display
DEATHS = 3  # actors in a row that die without finishing a unit: the fault is not the unit's


@dataclass(slots=True)
class Result:
    """How a run ended.

    Attributes:
        finished: units done in this run. left: units that this run did not get to.
        parked: unit → reason, of units that failed on every attempt.
        lost: utterances that could not be read any more, with reasons.
        interrupted: number of the signal that stopped the run, or 0.
    """

    finished: int = 0
    left: int = 0
    parked: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    interrupted: int = 0


class Loop:
    """One model's units, from the first that is ready to the last.

    Args:
        select: computes, writes and publishes one mask; raises `UserError` where there can be none.
        result: what happens is added here; `interrupted` is looked at before anything is handed out.
    """

    def __init__(
        self,
        schedule: Schedule,
        stages: Stages,
        select: Callable[[SelectUnit], None],
        progress: Progress,
        log: Log,
        result: Result,
    ) -> None:
        self.schedule, self.stages, self.select = schedule, stages, select
        self.progress, self.log, self.result = progress, log, result

    def run(self, workers: Workers) -> None:
        """Execute until nothing can run any more, or a signal asks to stop; units in flight are finished then.

        Raises:
            RuntimeError: actors die one after another.
        """
        deaths = 0
        try:
            while True:
                if not self.result.interrupted:
                    self._hand_out(workers)
                elif not self.schedule.running:
                    break
                if self.schedule.over:
                    break
                for event in workers.events(POLL):
                    deaths = deaths + 1 if isinstance(event, Died) else 0
                    self._take_in(event)
                    if deaths > DEATHS and isinstance(event, Died):
                        raise RuntimeError(f"{deaths} actors died one after another; the last: {event.reason}")
                self.progress.show(self.stages.model, self.schedule, self.log)
        finally:
            self.result.left += self.schedule.left
            self.result.parked |= self.schedule.parked
            self.progress.show(self.stages.model, self.schedule, self.log)

    def _hand_out(self, workers: Workers) -> None:
        for actor in workers.hungry:
            unit = self.schedule.take(actor)
            while isinstance(unit, SelectUnit):
                self._select(unit)
                unit = self.schedule.take(actor)
            if unit is None:
                return
            workers.give(actor, unit)

    def _take_in(self, event: Event) -> None:
        match event:
            case Finished(receipt):
                self._finish(receipt.unit)
                self.result.lost.update(receipt.lost)
                self.log.write("clip", receipt.unit, *receipt.lost)
            case Failed(unit, reason, traceback):
                parked = self.schedule.fail(unit, reason)
                self.log.write("parked" if parked else "failed", unit, traceback)
            case Died(actor, reason):
                parked_units = self.schedule.lose(actor, f"its actor died: {reason}")
                self.log.write("actor died", f"actor {actor}", reason, *parked_units)

    def _select(self, unit: SelectUnit) -> None:
        try:
            self.select(unit)
        except UserError as error:
            self.schedule.park(unit.id, str(error))
            self.log.write("parked", unit.id, str(error))
        else:
            self._finish(unit.id)

    def _finish(self, id: str) -> None:
        self.schedule.finish(id)
        self.stages.finished(id)
        self.result.finished += 1

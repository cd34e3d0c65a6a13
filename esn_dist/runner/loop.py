"""The driver's loop: hands ready units to workers, takes in what happened to them, until nothing can run any more.

Knows nothing of Ray, models or arrays: workers are whatever can be fed, and masks are selected beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from esn_dist.errors import UserError
from esn_dist.runner.progress import Progress
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.stages import Stages
from esn_dist.store.run_events import AttemptFailed, BatchesSplit, GaveUp, ModelLoaded, UnreadableClips, WorkerDied
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.enums import Step
from esn_dist.sweep.units import SelectUnit
from esn_dist.worker.protocol import Died, Event, Failed, Finished, OwnWork, Ready, Workers

POLL = 0.5  # seconds between two looks at signals and the progress display
OWN_POLL = 0.02  # between two looks at the driver's own units, while there are any
DEATHS = 3  # actors in a row that die without finishing a unit: the fault is not the unit's
DRIVER = "driver"  # who holds the units that no actor executes
OF_ACTORS = tuple(step for step in Step if step is not Step.SELECT)


@dataclass(slots=True)
class Result:
    """How a run ended.

    Attributes:
        finished: units done in this run. left: units that this run did not get to.
        parked: unit → reason, of units that failed on every attempt.
        lost: utterances that could not be read any more, with reasons.
        interrupted: number of the signal that stopped the run, or 0.
        splits: batches that did not fit into a GPU's memory and were answered in halves.
        peak_bytes: most memory that any actor has used on a GPU.
    """

    finished: int = 0
    left: int = 0
    parked: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    interrupted: int = 0
    splits: int = 0
    peak_bytes: int = 0


class Loop:
    """One model's units, from the first that is ready to the last.

    Args:
        stages: add to `schedule` what finished units make known.
        result: what happens is added here; `interrupted` is looked at before anything is handed out.
    """

    def __init__(self, schedule: Schedule, stages: Stages, progress: Progress, log: RunLog, result: Result) -> None:
        self.schedule, self.stages = schedule, stages
        self.progress, self.log, self.result = progress, log, result

    def run(self, workers: Workers, own: OwnWork) -> None:
        """Execute until nothing can run any more, or a signal asks to stop; units in flight are finished then.

        Raises:
            RuntimeError: actors die one after another.
        """
        deaths = 0
        try:
            while self._hand_out(workers, own):
                for event in workers.events(OWN_POLL if own.busy else POLL):
                    # A model that loads says nothing of whether its units can be borne.
                    deaths = deaths + isinstance(event, Died) if isinstance(event, Died | Ready) else 0
                    self._take_in(event)
                    if deaths > DEATHS and isinstance(event, Died):
                        raise RuntimeError(f"{deaths} actors died one after another; the last: {event.reason}")
                for unit, problem in own.results():
                    self._selected(unit, problem)
                if self.progress.due:
                    self._show()
        finally:
            self.result.left += self.schedule.left
            self.result.parked |= self.schedule.parked
            self._show()

    def _hand_out(self, workers: Workers, own: OwnWork) -> bool:
        """Give units to all that have room for one; False where nothing runs and nothing will."""
        if self.result.interrupted:
            return bool(self.schedule.running)
        while own.has_room and (mask := self.schedule.take(DRIVER, Step.SELECT)):
            assert isinstance(mask, SelectUnit)
            own.give(mask)
        while ready := self.schedule.ready(*OF_ACTORS):
            # The last units wait here and not behind a busy actor: whoever is idle first takes the next.
            actor = workers.hungry(ahead=ready > len(workers))
            if actor is None:
                break
            unit = self.schedule.take(actor, *OF_ACTORS)
            assert unit
            workers.give(actor, unit)
        return not self.schedule.over

    def _take_in(self, event: Event) -> None:
        match event:
            case Finished(receipt):
                self._finish(receipt.unit)
                self.result.lost.update(receipt.lost)
                if receipt.lost:
                    self.log.write(UnreadableClips(receipt.unit, receipt.lost))
                self.result.peak_bytes = max(self.result.peak_bytes, receipt.peak_bytes)
                if receipt.splits:
                    self.result.splits += receipt.splits
                    self.log.write(BatchesSplit(receipt.unit, receipt.splits))
            case Ready(actor, seconds):
                self.log.write(ModelLoaded(actor, seconds))
            case Failed(unit, reason, traceback):
                gave_up = self.schedule.fail(unit, reason)
                self.log.write(GaveUp(unit, traceback) if gave_up else AttemptFailed(unit, traceback))
            case Died(actor, reason):
                parked_units = self.schedule.lose(actor, f"its actor died: {reason}")
                self.log.write(WorkerDied(actor, reason, tuple(parked_units)))

    def _selected(self, unit: str, problem: UserError | None) -> None:
        if problem:
            self.schedule.park(unit, str(problem))
            self.log.write(GaveUp(unit, str(problem)))
        else:
            self._finish(unit)

    def _finish(self, id: str) -> None:
        self.schedule.finish(id)
        self.stages.finished(id)
        self.result.finished += 1

    def _show(self) -> None:
        self.progress.show(self.stages.model, self.schedule, self.log)

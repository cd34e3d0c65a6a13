"""The driver's loop: submits ready units to actors and processes their events, until nothing can run any more.

Knows nothing of Ray, models or arrays: it sees an `ActorPool`, and `DriverTasks` that select masks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

from esn_dist.errors import UserError
from esn_dist.runner.progress import ProgressDisplay
from esn_dist.runner.schedule import Schedule
from esn_dist.runner.stages import Stages
from esn_dist.store.run_events import (
    AttemptFailed,
    BatchesSplit,
    GaveUp,
    ModelLoaded,
    UnreadableClips,
    WorkerDied,
    WorkerPreempted,
)
from esn_dist.store.run_log import RunLog
from esn_dist.sweep.units import SelectUnit, Step
from esn_dist.worker.protocol import (
    MAX_IN_FLIGHT,
    ActorEvent,
    ActorPool,
    Died,
    Failed,
    Finished,
    Joined,
    Left,
    Receipt,
)

POLL_SECONDS = 0.5  # between two looks at signals and the progress display
TASK_POLL_SECONDS = 0.02  # between two looks at the driver's tasks, while any is in flight
MAX_DEATHS = 3  # in a row without a finished or failed unit between them: more, and no unit is the cause
DRIVER = "driver"  # the worker of units that no actor executes
ACTOR_STEPS = tuple(step for step in Step if step is not Step.SELECT)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        finished: number of units done in this run. remaining: number of units that this run did not get to.
        failed: unit → reason, of units that failed on every attempt.
        unreadable_clips: utterances whose audio could not be read any more, with reasons.
        interrupted: number of the signal that stopped the run, or 0.
        splits: batches that did not fit into a GPU's memory and were answered in halves.
        peak_bytes: most memory that any actor has used on a GPU.
    """

    finished: int = 0
    remaining: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    unreadable_clips: set[str] = field(default_factory=set)
    interrupted: int = 0
    splits: int = 0
    peak_bytes: int = 0


class DriverTasks(Protocol):
    """Executes the driver's own units, one after another, while the loop goes on."""

    @property
    def busy(self) -> bool:
        """Whether any unit is in flight."""

    @property
    def has_capacity(self) -> bool:
        """Whether another unit may be submitted."""

    def submit(self, unit: SelectUnit) -> None:
        """Execute `unit` after those submitted before."""

    def results(self) -> list[tuple[str, UserError | None]]:
        """Units that ended since the last call, each with the error that makes it impossible, if any."""


class Loop:
    """One model's units, from the first that is ready to the last.

    Args:
        stages: add to `schedule` what finished units make known.
        result: updated by every event. The loop submits no unit once `result.interrupted` is set.
    """

    def __init__(
        self, schedule: Schedule, stages: Stages, progress: ProgressDisplay, log: RunLog, result: RunResult
    ) -> None:
        self.schedule, self.stages = schedule, stages
        self.progress, self.log, self.result = progress, log, result
        self._deaths = 0  # in a row

    def run(self, pool: ActorPool, tasks: DriverTasks) -> None:
        """Execute until nothing can run any more, or a signal asks to stop; units in flight are finished then.

        Raises:
            RuntimeError: actors die one after another.
        """
        try:
            while self._submit_ready(pool, tasks):
                for event in pool.events(TASK_POLL_SECONDS if tasks.busy else POLL_SECONDS):
                    self._process(event)
                for unit, error in tasks.results():
                    self._process_selection(unit, error)
                if self.progress.due:
                    self._show()
        finally:
            self.result.remaining += self.schedule.remaining
            self.result.failed |= self.schedule.failed
            self._show()

    def _submit_ready(self, pool: ActorPool, tasks: DriverTasks) -> bool:
        """Submit ready units where there is capacity; False if nothing is in flight and nothing will be."""
        if self.result.interrupted:
            return bool(self.schedule.in_flight)
        while tasks.has_capacity and (task := self.schedule.next_ready(DRIVER, Step.SELECT)):
            assert isinstance(task, SelectUnit)
            tasks.submit(task)
        while ready := self.schedule.ready(*ACTOR_STEPS):
            # The last units wait here, not behind a busy actor: the first idle actor takes the next one.
            actor = pool.least_loaded(MAX_IN_FLIGHT if ready > pool.size else 1)
            if actor is None:
                break
            unit = self.schedule.next_ready(actor, *ACTOR_STEPS)
            assert unit
            pool.submit(actor, unit)
        return not self.schedule.exhausted

    def _process(self, event: ActorEvent) -> None:
        match event:
            case Joined(actor, seconds):
                logger.debug("actor %d loaded its model in %.1f s", actor, seconds)
                self.log.write(ModelLoaded(actor, seconds))
            case Finished(actor, receipt):
                logger.debug("actor %d finished %s in %.2f s", actor, receipt.unit, receipt.seconds)
                self._deaths = 0
                self._process_receipt(receipt)
            case Failed(actor, unit, reason, traceback):
                self._deaths = 0
                gave_up = self.schedule.fail(unit, reason)
                outcome = "gave up" if gave_up else "will retry"
                logger.warning("attempt at %s failed on actor %d; %s: %s", unit, actor, outcome, reason)
                self.log.write(GaveUp(unit, traceback) if gave_up else AttemptFailed(unit, traceback))
            case Left(actor, reason):
                logger.warning("actor %d was preempted: %s", actor, _first_line(reason))
                self.schedule.worker_preempted(actor)
                self.log.write(WorkerPreempted(actor, reason))
            case Died(actor, reason):
                self._process_death(actor, reason)

    def _process_receipt(self, receipt: Receipt) -> None:
        self._finish(receipt.unit)
        self.result.unreadable_clips.update(receipt.unreadable_clips)
        if receipt.unreadable_clips:
            self.log.write(UnreadableClips(receipt.unit, receipt.unreadable_clips))
        self.result.peak_bytes = max(self.result.peak_bytes, receipt.peak_bytes)
        if receipt.splits:
            self.result.splits += receipt.splits
            self.log.write(BatchesSplit(receipt.unit, receipt.splits))

    def _process_death(self, actor: int, reason: str) -> None:
        gave_up = self.schedule.worker_died(actor, f"its actor died: {reason}")
        logger.warning("actor %d died: %s", actor, _first_line(reason))
        self.log.write(WorkerDied(actor, reason, tuple(gave_up)))
        self._deaths += 1
        if self._deaths > MAX_DEATHS:
            raise RuntimeError(f"{self._deaths} actors died one after another; the last: {reason}")

    def _process_selection(self, unit: str, error: UserError | None) -> None:
        if error:
            self.schedule.give_up(unit, str(error))
            logger.warning("%s gave up: %s", unit, error)
            self.log.write(GaveUp(unit, str(error)))
        else:
            self._finish(unit)

    def _finish(self, id: str) -> None:
        self.schedule.finish(id)
        self.stages.unit_finished(id)
        self.result.finished += 1

    def _show(self) -> None:
        self.progress.show(self.stages.plan.model, self.schedule, self.log)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]

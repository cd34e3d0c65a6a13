"""The Ray actor: one process that holds one model and executes units; publishes a unit's done-mark after its data.

All that is computed is `executor.py`'s; here is what happens between processes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import ray

from esn_dist.errors import UserError
from esn_dist.store.done import publish
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease
from esn_dist.sweep.units import Unit
from esn_dist.worker.job import Job
from esn_dist.worker.protocol import Receipt

if TYPE_CHECKING:
    from esn_dist.worker.executor import Executor


@ray.remote(max_restarts=0, max_task_retries=0)  # the driver replaces a dead actor and hands its units out again
class Actor:
    """Holds the job's model from construction on, or what the user must mend before it can be held."""

    def __init__(self, job: Job) -> None:
        # Here and not above: the driver imports this module, and need not wait for what runs models.
        from esn_dist.worker.executor import Executor

        self.folder = StoreFolder(job.root)
        self.lease = Lease(job.lease, self.folder.lock)
        self._held: Executor | UserError
        started = time.monotonic()
        try:
            self._held = Executor(job)
        except UserError as error:
            # An actor that raises here is a dead actor, and a new one would meet the same mistake.
            self._held = error
        self._load_seconds = time.monotonic() - started

    @property
    def executor(self) -> Executor:
        """What executes units. Raises `UserError`: the model cannot be loaded."""
        if isinstance(self._held, UserError):
            raise self._held
        return self._held

    def load_seconds(self) -> float:
        """How long it took to hold the model; answered once it is held.

        Raises:
            UserError: the model cannot be loaded until the user mends something.
        """
        assert self.executor
        return self._load_seconds

    def run(self, unit: Unit) -> Receipt:
        """Execute `unit` and publish its done-mark.

        Raises:
            LeaseLost: another driver has taken the store over; nothing is published.
            UserError: the model could not be loaded, as `load_seconds` says too.
        """
        started = time.monotonic()
        done = self.executor.run(unit)
        publish(self.folder, unit.id, done.files, self.lease)
        seconds = time.monotonic() - started
        return Receipt(unit.id, seconds, done.lost, done.splits, self.executor.peak_bytes)

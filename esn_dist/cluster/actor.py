"""The Ray actor: one process that holds one model and executes units; publishes a unit's done-mark after its data.

All that is computed is `executor.py`'s; here is what happens between processes.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import ray

from esn_dist.cluster.job import Job
from esn_dist.store.done import publish
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import Lease
from esn_dist.sweep.units import Unit


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an actor reports of a finished unit; the data itself is in the store.

    Attributes:
        lost: utterances that could not be read, with reasons.
        splits: batches that did not fit into memory and were answered in halves.
        peak_bytes: most memory that the actor has used on a GPU so far.
    """

    unit: str
    seconds: float
    lost: tuple[str, ...]
    splits: int = 0
    peak_bytes: int = 0


@ray.remote(max_restarts=0, max_task_retries=0)  # the driver replaces a dead actor and hands its units out again
class Actor:
    """Holds the job's model from construction on."""

    def __init__(self, job: Job) -> None:
        # Here and not above: the driver imports this module, and need not wait for what runs models.
        from esn_dist.cluster.executor import Executor

        self.folder = StoreFolder(job.root)
        self.lease = Lease(job.lease, self.folder.lock)
        self.executor = Executor(job)

    def pid(self) -> int:
        """Process id, for whoever watches; answered once the model is loaded."""
        return os.getpid()

    def run(self, unit: Unit) -> Receipt:
        """Execute `unit` and publish its done-mark.

        Raises:
            LeaseLost: another driver has taken the store over; nothing is published.
        """
        started = time.monotonic()
        done = self.executor.run(unit)
        publish(self.folder, unit.id, done.files, self.lease)
        seconds = time.monotonic() - started
        return Receipt(unit.id, seconds, done.lost, done.splits, self.executor.peak_bytes)

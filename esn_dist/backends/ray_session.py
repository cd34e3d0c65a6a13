"""A Ray cluster for one run: started on this machine, or the one of RAY_ADDRESS.

Knows resources and pools, not what actors compute.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

import ray

from esn_dist.backends.ray_actor import Actor, start_actor
from esn_dist.backends.ray_pool import RayPool
from esn_dist.worker.job import Job
from esn_dist.worker.protocol import GpuInfo

logger = logging.getLogger(__name__)


class RayNode(TypedDict):
    """What is used of Ray's description of a node."""

    Alive: bool
    Resources: dict[str, float]


class RaySession:
    """A `Session` of the cluster that this process is connected to."""

    @property
    def default_actors(self) -> int:
        """See `Session.default_actors`."""
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return int(resources.get("GPU", 0)) or int(resources["CPU"])

    def gpus_per_node(self) -> list[int]:
        """See `Session.gpus_per_node`."""
        nodes: list[RayNode] = ray.nodes()  # type: ignore[no-untyped-call]
        return [int(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"]]

    def inspect_gpu(self) -> GpuInfo:
        """See `Session.inspect_gpu`."""
        task = ray.remote(num_gpus=1, num_cpus=0, max_retries=1)(_inspect_gpu_here)
        return ray.get(task.remote())

    def start_pool(self, job: Job, size: int) -> RayPool:
        """See `Session.start_pool`."""
        stored_job = ray.put(job)
        gpus = job.model.gpus if job.profile.device == "cuda" else 0
        logger.debug("starting %d actors of model %s", size, job.model.name)
        return RayPool(lambda: start_actor(Actor, stored_job, num_gpus=gpus), size)


class RayBackend:
    """A `Backend`: attaches to the cluster of RAY_ADDRESS, else starts Ray on this machine."""

    @contextmanager
    def session(self, actors: int | None) -> Iterator[RaySession]:
        """See `Backend.session`."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        else:
            _start_local(actors)
        try:
            yield RaySession()
        finally:
            ray.shutdown()


def _start_local(actors: int | None) -> None:
    # At least two, so that a run on the smallest machine uses several actors as any other run does.
    cores = max(actors or os.cpu_count() or 1, 2)
    ray.init(
        address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        object_store_memory=256 * 2**20, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}},
    )  # fmt: skip


def _inspect_gpu_here() -> GpuInfo:
    import torch

    from esn_dist.inference.packed.elementwise_ops import has_c_compiler

    return GpuInfo(torch.cuda.get_device_properties(0).total_memory, has_c_compiler())

"""Ray's backend keeps the protocol: a cluster on this machine is started, used, and shut down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from esn_dist.backends import ray_session
from esn_dist.backends.ray_session import RayBackend
from esn_dist.sweep.units import Unit
from esn_dist.testing.sessions import BackendConformance
from esn_dist.worker.job import Job
from esn_dist.worker.protocol import Backend, Receipt


class Quick:
    """Finishes any unit at once, and loads no model."""

    def __init__(self, job: Job) -> None:
        self.model = job.model.name

    def load_seconds(self) -> float:
        return 0.0

    def execute(self, unit: Unit) -> Receipt:
        return Receipt(unit.id, 0.0)


class TestRayBackend(BackendConformance):
    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(ray_session, "Actor", Quick)
        yield RayBackend()
        assert not ray.is_initialized(), "the end of the session shuts the cluster down"

"""The backend in this process, with which benchmarks are tested, behaves as Ray's does."""

from __future__ import annotations

import pytest

from esn_dist.sweep.units import Unit
from esn_dist.testing.pools import ActorPoolConformance, FailingPoolConformance
from esn_dist.testing.sessions import BackendConformance
from esn_dist.worker.protocol import ActorPool, Backend, Receipt
from tests.benchmarks import in_process
from tests.benchmarks.in_process import InProcessBackend, InProcessPool


class Quick:
    """Finishes any unit, or raises `problem` instead."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem

    def load_seconds(self) -> float:
        return 0.0

    def execute(self, unit: Unit) -> Receipt:
        if self.problem:
            raise self.problem
        return Receipt(unit.id, 0.0)


class TestInProcessPool(ActorPoolConformance, FailingPoolConformance):
    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        return InProcessPool(Quick, size)

    @classmethod
    def start_failing_pool(cls, reason: str) -> ActorPool:
        return InProcessPool(lambda: Quick(OSError(reason)), 1)


class TestInProcessBackend(BackendConformance):
    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> Backend:
        monkeypatch.setattr(in_process, "Actor", lambda job: Quick())
        return InProcessBackend()

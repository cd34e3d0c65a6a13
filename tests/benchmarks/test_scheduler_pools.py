"""The pools that the scheduler's benchmark measures with behave as the driver's pools do."""

from __future__ import annotations

from esn_dist.testing.pools import ActorPoolConformance
from esn_dist.worker.protocol import ActorPool
from scheduler import Clock, FakePool, SimulatedPool


class TestFakePool(ActorPoolConformance):
    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        return FakePool(size)


class TestSimulatedPool(ActorPoolConformance):
    @classmethod
    def start_pool(cls, size: int) -> ActorPool:
        return SimulatedPool(size, Clock(), corpora={})

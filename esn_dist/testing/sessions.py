"""Tests that every `Backend` must pass: `class TestMine(BackendConformance)` with a `backend` fixture.

Knows no Ray and loads no model. Shipped with the package, so that a backend elsewhere can inherit the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from esn_dist.sweep.spec import ModelSpec
from esn_dist.testing.pools import events_until, first_joined, unit
from esn_dist.worker.job import EngineProfile, Job
from esn_dist.worker.protocol import Backend, Finished

ACTORS = 2


class BackendConformance:
    """A session has sizes and starts pools. What its end must free, the fixture can check after its `yield`."""

    @pytest.fixture
    def backend(self) -> Backend:
        """A backend whose actors finish any `EncodeUnit`, whatever their job is."""
        raise NotImplementedError

    @pytest.fixture
    def job(self, tmp_path: Path) -> Job:
        """A job of a model that is not loaded, on the CPU."""
        model = ModelSpec.model_validate({"name": "tiny-qwen2.5-omni"})
        profile = EngineProfile("cpu", "float32", "fold", 4_096)
        return Job(tmp_path, tmp_path / "cache", model, "fingerprint", "", profile, {}, 0, 20, "token")

    def test_a_session_has_sizes_and_its_actors_execute_units(self, backend: Backend, job: Job) -> None:
        with backend.session(ACTORS) as session:
            assert session.default_actors >= 1
            gpus = session.gpus_per_node()
            assert all(number >= 0 for number in gpus)
            if any(gpus):
                assert session.inspect_gpu().memory_bytes > 0
            pool = session.start_pool(job, ACTORS)
            assert pool.size == ACTORS
            actor = first_joined(pool)
            pool.submit(actor, unit(0))
            (finished,) = [event for event in events_until(pool, Finished) if isinstance(event, Finished)]
            assert (finished.actor, finished.receipt.unit) == (actor, unit(0).id)
            pool.stop()

"""Before anything runs: GPUs that no node has are refused, and no actor is started that would wait forever."""

from __future__ import annotations

import pytest

from esn_dist.errors import UserError
from esn_dist.runner.preflight import devices, replicas
from esn_dist.sweep.spec import ModelSpec

TINY = "tiny-qwen2.5-omni"


def model(name: str = TINY, **fields: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": name, "model": TINY, **fields})


def test_a_replica_larger_than_any_node_is_refused_before_the_first_model_runs() -> None:
    models = [model("small"), model("large", gpus=8)]
    with pytest.raises(UserError, match="'large' needs 8 GPUs per replica, and the largest node has 4") as error:
        devices(models, [4, 0, 2, 4])
    assert error.value.fix and "gpus: 4 or fewer" in error.value.fix
    assert devices(models, [4, 8]) == {"small": "cuda", "large": "cuda"}


def test_gpus_of_several_nodes_do_not_add_up_to_one_replica() -> None:
    with pytest.raises(UserError, match="largest node has 1"):
        devices([model(gpus=2)], [1, 1, 1, 1])


def test_without_a_gpu_a_model_is_on_the_cpu_unless_it_needs_one() -> None:
    assert devices([model(gpus=2)], [0, 0]) == devices([model(device="cpu", gpus=2)], [1]) == {TINY: "cpu"}
    assert devices([model()], []) == {TINY: "cpu"}
    with pytest.raises(UserError, match="needs a GPU, and the cluster has none"):
        devices([model(device="cuda")], [0])


@pytest.mark.parametrize(("per_replica", "fit"), [(1, 14), (2, 6), (4, 3), (8, 1)])
def test_only_whole_replicas_on_one_node_are_started(per_replica: int, fit: int) -> None:
    assert replicas(model(gpus=per_replica), [8, 5, 1, 0]) == fit

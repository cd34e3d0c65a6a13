"""Before any corpus is read: every model of the sweep is available, can be placed, has gates, and can do its studies.

A mistake in the last of three models is reported before the other models run. Knows no cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from esn_dist.errors import UserError
from esn_dist.models.download import locate_checkpoint
from esn_dist.models.resolve import gate_shape
from esn_dist.sweep.experts import refuse_on_experts
from esn_dist.sweep.plan import Plan
from esn_dist.sweep.spec import ModelSpec, Sweep


def check_models(sweep: Sweep, planned: Plan) -> None:
    """Download what is missing, and check every model's files and configuration.

    Raises:
        UserError: a checkpoint is not available or not complete, a model has no gates that could be studied, or a
            study needs something that its model cannot do.
    """
    for model in sweep.models:
        experts = gate_shape(model, locate_checkpoint(model)).experts
        refuse_on_experts(planned.studies, model.name, experts)


def devices(models: Iterable[ModelSpec], gpus: Sequence[int]) -> dict[str, Literal["cpu", "cuda"]]:
    """The device of each model, by name.

    Args:
        gpus: number of GPUs of each node.

    Raises:
        UserError: a model needs a GPU and there is none, or more GPUs for one replica than any node has.
    """
    return {model.name: _device(model, max(gpus, default=0)) for model in models}


def replicas(model: ModelSpec, gpus: Sequence[int]) -> int:
    """Number of actors with `model.gpus` GPUs of one node each that fit at once; one more would wait with its units."""
    return sum(node_gpus // model.gpus for node_gpus in gpus)


def _device(model: ModelSpec, largest: int) -> Literal["cpu", "cuda"]:
    if model.device == "cuda" and not largest:
        raise UserError(f"model {model.name!r} needs a GPU, and the cluster has none", fix="set device: cpu, or auto")
    if model.device == "cpu" or not largest:
        return "cpu"
    if model.gpus > largest:
        # The cluster would wait forever for a node with that many, without a message.
        raise UserError(
            f"model {model.name!r} needs {model.gpus} GPUs per replica, and the largest node has {largest}",
            fix=f"set gpus: {largest} or fewer, with offload: cpu where the weights do not fit, or add a larger node",
        )
    return "cuda"

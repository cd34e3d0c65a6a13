"""Before any corpus is read: every model of the sweep can be had and placed, has gates, and can do what is asked of it.

A mistake in the last of three models is told now, and not after the days that the first two take.
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
    """Download what is not here, and look at every model's files and configuration.

    Raises:
        UserError: a checkpoint cannot be had or is not whole, a model has no gates that could be studied, or a study
            asks of it what it cannot do.
    """
    for model in sweep.models:
        experts = gate_shape(locate_checkpoint(model), model.sparse_gates).experts
        refuse_on_experts(planned.studies, model.name, experts)


def devices(models: Iterable[ModelSpec], gpus: Sequence[int]) -> dict[str, Literal["cpu", "cuda"]]:
    """The device of each model, by name, where each node has so many of `gpus`.

    Raises:
        UserError: a model wants a GPU where there is none, or more for one replica than any node has.
    """
    return {model.name: _device(model, max(gpus, default=0)) for model in models}


def replicas(model: ModelSpec, gpus: Sequence[int]) -> int:
    """How many actors with `model.gpus` GPUs each, of one node, fit at once; one more would wait with its units."""
    return sum(there // model.gpus for there in gpus)


def _device(model: ModelSpec, most: int) -> Literal["cpu", "cuda"]:
    if model.device == "cuda" and not most:
        raise UserError(f"model {model.name!r} asks for a GPU, and Ray sees none", fix="set device: cpu, or auto")
    if model.device == "cpu" or not most:
        return "cpu"
    if model.gpus > most:
        # Ray would wait for ever for a node that has as many, and say nothing.
        raise UserError(
            f"model {model.name!r} asks for {model.gpus} GPUs per replica, and the largest node has {most}",
            fix=f"set gpus: {most} or fewer, with offload: cpu where the weights do not fit, or add a larger node",
        )
    return "cuda"

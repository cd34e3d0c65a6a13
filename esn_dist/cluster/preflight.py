"""Before any corpus is read: every model of the sweep can be had, has gates, and can do what its studies ask of it.

A mistake in the last of three models is told now, and not after the days that the first two take.
"""

from __future__ import annotations

from esn_dist.models.source import locate, shape
from esn_dist.sweep.experts import refuse_mix_on_experts
from esn_dist.sweep.plan import Plan
from esn_dist.sweep.spec import Sweep


def check_models(sweep: Sweep, planned: Plan) -> None:
    """Download what is not here, and look at every model's files and configuration.

    Raises:
        UserError: a checkpoint cannot be had or is not whole, a model has no gates that could be studied, or a study
            asks of it what it cannot do.
    """
    for model in sweep.models:
        experts = shape(locate(model), model.sparse_gates).experts
        refuse_mix_on_experts(planned.studies, model.name, experts)

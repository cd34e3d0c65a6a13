"""What models of experts cannot do, refused while it is a plan. Knows models by their number of experts only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from esn_dist.errors import UserError
from esn_dist.sweep.interventions import BASELINE, INTERVENTIONS
from esn_dist.sweep.keys import Cell


def refuse_on_experts(studies: Mapping[str, Iterable[Cell]], model: str, experts: int) -> None:
    """Refuse the types of intervention that a model of experts cannot run, such as Mix (eq. 14).

    Args:
        studies: cells of each study.
        experts: in each layer of `model`; 0 where layers are dense.

    Raises:
        UserError: a study asks for such a type.
    """
    for title, cells in studies.items() if experts else ():
        for name in dict.fromkeys(cell.intervention for cell in cells if cell.model == model):
            if reason := INTERVENTIONS[name].refused_on_experts:
                usable = INTERVENTIONS.usable().items()
                allowed = [n for n, entry in usable if not entry.refused_on_experts and n != BASELINE]
                raise UserError(
                    f"study {title!r} asks for {name} on model {model!r}, whose layers are made of {experts} experts: "
                    f"{reason}",
                    expected=", ".join(allowed),
                    fix=f"remove {name} from study {title!r}, or limit its `models` to dense models",
                )

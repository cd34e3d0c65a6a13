"""What models of experts cannot do, refused while it is a plan. Knows models by their number of experts only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from esn_dist.errors import UserError
from esn_dist.sweep.enums import InterventionType
from esn_dist.sweep.keys import Cell


def refuse_mix_on_experts(studies: Mapping[str, Iterable[Cell]], model: str, experts: int) -> None:
    """Refuse Mix on a model of experts: eq. 14 averages over all gates of a layer, and a token reaches few of them.

    Args:
        studies: cells of each study.
        experts: in each layer of `model`; 0 where layers are dense.

    Raises:
        UserError: a study asks for it.
    """
    for title, cells in studies.items() if experts else ():
        if any(cell.model == model and cell.intervention == InterventionType.MIX for cell in cells):
            raise UserError(
                f"study {title!r} asks for mix on model {model!r}, whose layers are made of {experts} experts: mix "
                "weighs all gates of a layer at once, and each token reaches the gates of a few experts only",
                expected="deactivate, steer, two-pass, union or the co- types",
                fix=f"take mix out of study {title!r}, or list in its `models` those without experts",
            )  # fmt: skip

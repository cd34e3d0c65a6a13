"""From what a cell says to what acts on the gates: the builders that `sweep.interventions` names by import strings.

Knows no stores and no cells' ids: masks and numbers go in. A builder of another package has the same signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from esn_dist.gates.find import Gate
from esn_dist.gates.mix import Mix
from esn_dist.gates.scale import Scale, ScaleMethod
from esn_dist.sweep.interventions import TEMPERATURE, InterventionParameters


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """What a builder gets.

    Attributes:
        gates: of every layer.
        masks_ELN: bool [mask, layer, neuron]: that of each emotion for types with separate masks, else one mask.
        alpha: gain.
        parameters: of the type.
        scaling: how gates are scaled where the type leaves the choice.
        kernels: whether packed gates on a GPU are scaled by kernels of our own.
    """

    gates: Sequence[Gate]
    masks_ELN: npt.NDArray[np.bool_]
    alpha: float
    parameters: InterventionParameters
    scaling: ScaleMethod
    kernels: bool


def build_scale(request: TransformRequest) -> Scale:
    """Gates of the mask times 1 + α (eqs. 8-11): deactivation, steering, unions and pairs."""
    (mask_LN,) = request.masks_ELN
    return Scale(request.gates, mask_LN, 1.0 + request.alpha, request.scaling)


def build_mix(request: TransformRequest) -> Mix:
    """Gates scaled by how much each emotion's neurons fire in the very row (eqs. 14-16)."""
    temperature = request.parameters[TEMPERATURE.name]
    return Mix(request.gates, request.masks_ELN, request.alpha, temperature, request.kernels)

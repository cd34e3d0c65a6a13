"""Builds the gate transform of a cell: the functions that `sweep.interventions` names by import strings.

Masks and numbers go in; knows no stores and no ids. A builder of another package has the same signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from esn_dist.gates.find import Gate
from esn_dist.gates.mix import Mix
from esn_dist.gates.protocols import GateTransform
from esn_dist.gates.scale import Scale, ScaleMethod
from esn_dist.sweep.interventions import TEMPERATURE, InterventionParameters


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """The input of a builder.

    Attributes:
        gates: of every layer.
        masks_ELN: bool, the mask of each emotion for types with separate masks, else a single one.
        alpha: gain.
        parameters: the parameters of the type besides the gain.
        scaling: how gates are scaled where the type leaves the choice.
        kernels: whether packed gates on a GPU are scaled by Triton kernels.
    """

    gates: Sequence[Gate]
    masks_ELN: npt.NDArray[np.bool_]
    alpha: float
    parameters: InterventionParameters
    scaling: ScaleMethod
    kernels: bool


GateTransformBuilder = Callable[[TransformRequest], GateTransform]
"""Makes one cell's transform; `esn_dist.testing.interventions` has the tests that it must pass."""


def build_scale(request: TransformRequest) -> Scale:
    """Multiplies the gates of the mask by 1 + α (eqs. 8-11): deactivation, steering, unions and pairs."""
    (mask_LN,) = request.masks_ELN
    return Scale(request.gates, mask_LN, 1.0 + request.alpha, request.scaling)


def build_mix(request: TransformRequest) -> Mix:
    """Scales each row's gates by the mean gate of each emotion's mask in that row (eqs. 14-16)."""
    temperature = request.parameters[TEMPERATURE.name]
    return Mix(request.gates, request.masks_ELN, request.alpha, temperature, request.kernels)

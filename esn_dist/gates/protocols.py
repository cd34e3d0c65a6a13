"""What may act on gates while a batch is answered: observers of forward calls, and transforms of a whole batch.

Engines and transforms meet here, so that neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from esn_dist.gates.positions import TokenPositions

SiluAndMul = Callable[[Tensor], Tensor]
"""An engine's own step from u and up side by side [T, M] to h = SiLU(u) · up [T, N]."""


class ActivationObserver(Protocol):
    """Takes part in every forward call of one batch: counts its gates, or changes them.

    An engine that calls the decoder's modules attaches `hooks`. One that calls none passes each layer's gates through
    `transform_gate`.
    """

    def begin_forward(self, positions: TokenPositions) -> None:
        """Announce the positions of the next forward call."""

    def hooks(self) -> AbstractContextManager[Any]:
        """Attach to the decoder's modules for the length of a block."""

    def transform_gate(self, layer: int, gate_up_TM: Tensor, silu_and_mul: SiluAndMul) -> Tensor:
        """The input [T, N] of a layer's down projection, computed from `gate_up_TM`."""

    def split(self, start: int, stop: int) -> ActivationObserver:
        """The observer of rows `start` to `stop` of the batch; an engine asks for all parts, in order."""


class GateTransform(Protocol):
    """What the intervention of one cell does to the gates: an edit in place, an observer, or both.

    A transform is equal to itself only. `esn_dist.testing.interventions` checks one.
    """

    def applied(self) -> AbstractContextManager[Any]:
        """Edit the model in place for the length of a block, any number of times; afterwards it is as before."""

    def observer(self) -> ActivationObserver | None:
        """What takes part in every forward call; None where the edit in place is all."""

"""What a selector's scoring function gets, and the one call that computes the scores of a registered selector.

Knows no stores: counts of single utterances arrive as a stream of blocks that can be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError
from esn_dist.selection.firing import Firing
from esn_dist.sweep.selectors import SELECTORS, Selector

Scores = npt.NDArray[np.float64]
"""[emotion, layer, neuron]: higher is selected earlier, -inf is never selected."""


@dataclass(frozen=True, slots=True)
class UtteranceCounts:
    """Counts of some chosen utterances, all of one emotion, summed over the counted parts.

    Attributes:
        emotion: position in the input's `emotions`.
        K: uint32 [utterance, layer, neuron].
        T: uint32 [utterance], or of experts [utterance, layer, expert].
    """

    emotion: int
    K: npt.NDArray[np.uint32]
    T: npt.NDArray[np.uint32]

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """P[utterance, layer, neuron] = K / T; NaN where the neuron's expert saw no position."""
        share = self.K.shape[2] // self.T.shape[2] if self.T.ndim == 3 else 1
        T_ULN = np.repeat(self.T, share, axis=2) if self.T.ndim == 3 else self.T[:, None, None]
        P: npt.NDArray[np.float64] = np.full(self.K.shape, np.nan)
        np.divide(self.K, T_ULN, out=P, where=T_ULN > 0)
        return P


@dataclass(frozen=True, slots=True)
class SelectionInput(Firing):
    """Firing statistics, and whatever else a selector declares that it needs.

    Attributes:
        utterance_stream: starts a new pass over the chosen utterances, shard by shard; None where only sums are known.
        statistics: further logged statistics by name, each [emotion, layer, neuron].
    """

    utterance_stream: Callable[[], Iterator[UtteranceCounts]] | None = None
    statistics: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, firing: Firing) -> SelectionInput:
        """Sums alone."""
        return firing if isinstance(firing, SelectionInput) else cls(firing.emotions, firing.K, firing.T)

    def utterances(self) -> Iterator[UtteranceCounts]:
        """A pass over the chosen utterances; memory holds one shard. Blocks of one emotion may come in any order."""
        if self.utterance_stream is None:
            raise ValueError("only summed counts are known here; the selector must declare needs_utterances")
        return self.utterance_stream()


def scores_of(selector: str, firing: Firing) -> Scores:
    """Scores[emotion, layer, neuron] of a registered selector.

    Args:
        firing: sums, or a `SelectionInput` for selectors that need more.

    Raises:
        UserError: no such selector, or as `compute_scores`.
    """
    return compute_scores(SELECTORS.require(selector), firing)


def compute_scores(selector: Selector, firing: Firing) -> Scores:
    """As `scores_of`, of an entry.

    Raises:
        UserError: the selector needs more than `firing` holds.
        ValueError: the selector returns another shape, or NaN.
    """
    inputs = SelectionInput.of(firing)
    if selector.needs_utterances and inputs.utterance_stream is None:
        raise UserError(
            f"selector {selector.name!r} needs the counts of single utterances, and only their sums are known here",
            expected=f"one of {', '.join(name for name, other in SELECTORS.usable().items() if other.from_sums)}",
        )
    if missing := [name for name in selector.statistics if name not in inputs.statistics]:
        raise UserError(
            f"selector {selector.name!r} needs the statistics {', '.join(missing)}, which this store does not have",
            fix="use another selector, or identify again with a version that logs them",
        )
    scores: Scores = resolve_name(selector.scores)(inputs)
    if scores.shape != firing.K.shape or np.isnan(scores).any():
        raise ValueError(
            f"selector {selector.name!r} gives scores of shape {scores.shape}, or NaN, for K{firing.K.shape}"
        )
    return scores

"""Masks of a fixed budget: the best-ranked neurons of each emotion, or random ones.

Knows no firing statistics: scores, a number and a seed go in.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError
from esn_dist.seeds import SeedKey, generator


def budget(fraction: Decimal | str, neurons: int) -> int:
    """r times all gates, r taken as the decimal that was written, rounded half up.

    Args:
        fraction: r within (0, 1].
        neurons: gates of all layers, the sum of D_l.

    Raises:
        UserError: r is no decimal, is outside (0, 1], or selects no neuron.
    """
    expected = "a decimal within (0, 1], such as 0.005"
    try:
        r = Decimal(fraction)
    except InvalidOperation:
        raise UserError(f"fraction {fraction!r} is not a number", expected=expected) from None
    if not r.is_finite() or not 0 < r <= 1:
        raise UserError(f"fraction {fraction} is outside (0, 1]", expected=expected)
    count = int((r * neurons).to_integral_value(ROUND_HALF_UP))
    if count == 0:
        raise UserError(f"fraction {r} of {neurons} neurons selects none", fix="choose a larger fraction")
    return count


def top_neurons(scores: npt.NDArray[np.float64], budget: int) -> npt.NDArray[np.bool_]:
    """The `budget` best-scored neurons of each emotion over all layers; ties go to the lower (layer, index).

    Args:
        scores: scores[emotion, layer, neuron], -inf = never eligible.
        budget: neurons per emotion.

    Returns:
        mask[emotion, layer, neuron]; fewer than `budget` members where fewer are eligible.
    """
    if np.isnan(scores).any():
        raise ValueError("a score is NaN: nothing can be ranked")
    mask = np.zeros(scores.shape, np.bool_)
    for of_emotion, chosen in zip(scores, mask, strict=True):
        flat = of_emotion.ravel()
        best = np.argsort(-flat, kind="stable")[:budget]
        chosen.ravel()[best[np.isfinite(flat[best])]] = True
    return mask


def random_mask(layers: int, width: int, budget: int, *seed: SeedKey) -> npt.NDArray[np.bool_]:
    """RND: exactly `budget` neurons, uniform over all layers; one mask for all emotions.

    Args:
        layers, width: shape of the mask.
        budget: number of its neurons.
        seed: values that the draw is hashed from, e.g. (seed, model, number of the mask).

    Returns:
        mask[layer, neuron]
    """
    if not 0 < budget <= layers * width:
        raise ValueError(f"a budget of {budget} does not fit {layers} x {width} neurons")
    # Ranks of uniform numbers, not Generator.choice: NumPy may change how `choice` samples between versions.
    draws = generator("RND mask", *seed).random(layers * width)
    mask = np.zeros(layers * width, np.bool_)
    mask[np.argsort(draws, kind="stable")[:budget]] = True
    return mask.reshape(layers, width)


def layer_matched_mask(member: npt.NDArray[np.bool_], *seed: SeedKey) -> npt.NDArray[np.bool_]:
    """Layer-matched RND: in every layer as many neurons as `member` has there, uniform within the layer.

    Args:
        member: member[layer, neuron] of the mask that is matched.
        seed: values that the draw is hashed from.

    Returns:
        mask[layer, neuron]
    """
    draws = generator("layer-matched RND mask", *seed).random(member.size).reshape(member.shape)
    rank = np.argsort(np.argsort(draws, axis=1, kind="stable"), axis=1, kind="stable")
    mask: npt.NDArray[np.bool_] = rank < member.sum(axis=1, keepdims=True)
    return mask

"""How stable a mask is: the same selector on bootstrapped identification sets, compared by Jaccard overlap.

Draws utterances with replacement within each corpus and emotion from those that identified the mask. Sums their counts
from the store in one pass, so that no model is run. Knows no answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.analysis.bootstrap import Floats, resample
from esn_dist.analysis.identification import IdentificationPool
from esn_dist.analysis.locality import jaccard
from esn_dist.seeds import SeedKey
from esn_dist.selection.firing import Firing
from esn_dist.selection.masks import budget, top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.terms import JOIN, PARTS

STABILITY_DRAWS = 20


def mask_stability(
    pool: IdentificationPool, selectors: Sequence[str], fraction: str, *seed: SeedKey, draws: int = STABILITY_DRAWS
) -> xr.Dataset:
    """Overlap of bootstrapped masks with the mask itself, and with each other; one pass for all selectors.

    Args:
        pool: the identification utterances.
        selectors: names in `SELECTORS` of those that need sums alone.
        fraction: r as decimal text, such as "0.005".
        seed: what the draws are hashed from.
        draws: bootstrapped sets. Memory: draws × emotions × neurons × 8 bytes.

    Returns:
        jaccard[selector, draw, emotion] with the mask itself; pairwise[selector, emotion]: the mean over all pairs of
        draws; size[selector, emotion] of the mask itself. NaN where both masks are empty.
    """
    firings = resampled_firing(pool, *seed, draws=draws)
    by_selector = [_stability([_masks(firing, selector, fraction) for firing in firings]) for selector in selectors]
    return (
        xr.concat(by_selector, dim="selector")
        .assign_coords(selector=list(selectors), emotion=list(pool.chosen.emotions))
        .assign_attrs(
            model=pool.model, corpus=pool.corpus, fraction=fraction, identified=pool.chosen.size, **_identified(pool)
        )
    )


def _identified(pool: IdentificationPool) -> dict[str, object]:
    """How the masks are identified, in the columns of the store's table of masks."""
    return {"identification_size": pool.chosen.requested or 0, "parts": JOIN.join(PARTS[part] for part in pool.parts)}


def _stability(masks: list[npt.NDArray[np.bool_]]) -> xr.Dataset:
    """One selector's masks, mask[emotion, layer, neuron]: of the set itself, then of every draw."""
    itself, drawn = masks[0], masks[1:]
    emotions = range(len(itself))
    overlaps = np.array([[jaccard(mask[emotion], itself[emotion]) for emotion in emotions] for mask in drawn])
    return xr.Dataset(
        {
            "jaccard": (("draw", "emotion"), overlaps.reshape(len(drawn), len(itself))),
            "pairwise": ("emotion", [_pairwise([mask[emotion] for mask in drawn]) for emotion in emotions]),
            "size": ("emotion", itself.sum(axis=(1, 2))),
        }
    )


def resampled_firing(pool: IdentificationPool, *seed: SeedKey, draws: int) -> list[Firing]:
    """Firing statistics of the chosen utterances themselves, then of every bootstrapped set."""
    emotions = pool.chosen.emotions
    weights = _weights(pool, *seed, draws=draws)  # [1 + draw, utterance]
    K: Floats | None = None
    T: Floats | None = None
    start = 0
    for code, block, positions in pool.blocks():
        shape = (1 + draws, len(emotions), *block.shape[1:])
        K = np.zeros(shape) if K is None else K
        T = np.zeros((*shape[:2], *positions.shape[1:])) if T is None else T
        for emotion in np.unique(code):
            rows = np.flatnonzero(code == emotion)
            counted = weights[:, start + rows]
            K[:, emotion] += np.tensordot(counted, block[rows].astype(np.float64), axes=1)
            T[:, emotion] += np.tensordot(counted, positions[rows].astype(np.float64), axes=1)
        start += len(code)
    assert K is not None and T is not None  # `identification_set` has refused an emotion without utterances
    # Sums of whole numbers below 2^53: float64 was exact.
    return [Firing(emotions, k.astype(np.int64), t.astype(np.int64)) for k, t in zip(K, T, strict=True)]


def _weights(pool: IdentificationPool, *seed: SeedKey, draws: int) -> Floats:
    """How often each chosen utterance counts, in the store's order."""
    strata = int(pool.stratum.max()) + 1
    sample = resample(pool.stratum, strata, "identification", pool.corpus, *seed, draws=draws)
    weights = np.zeros((1 + draws, len(pool.stratum)))
    for rows, of_label in zip(sample.rows, sample.weights, strict=True):
        weights[:, rows] = of_label
    return weights


def _masks(firing: Firing, selector: str, fraction: str) -> npt.NDArray[np.bool_]:
    layers, width = firing.K.shape[1:]
    return top_neurons(scores_of(selector, firing), budget(fraction, layers * width))


def _pairwise(masks: list[npt.NDArray[np.bool_]]) -> float:
    pairs = [jaccard(masks[a], masks[b]) for a in range(len(masks)) for b in range(a)]
    defined = [value for value in pairs if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")

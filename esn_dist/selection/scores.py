"""The paper's selectors (eqs. 1-7) and variants: firing statistics in, one score per emotion and neuron out.

A score is higher where a neuron is chosen earlier, and -inf where it must never be chosen. Whatever decides between
neurons (who fires most, shared maxima, zero deviations, equal scores) is computed from the integers K and T, because
float64 alone would let rounding flip members of a mask. Knows no budgets and no masks.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from esn_dist.selection.firing import Firing
from esn_dist.selection.selection_input import Scores

DIGITS = 12  # significant digits that rank; digits below are rounding, not evidence
PERCENTILE = 0.95  # of all firing probabilities: `filter_rate` and `activation_bar_ratio` of LAPE's original


def lap(firing: Firing) -> Scores:
    """LAP (eq. 1): the firing probability P for this emotion; a gate that never fires for it is not eligible.

    Returns:
        scores[emotion, layer, neuron]
    """
    return _ranked(firing, firing.probability, eligible=firing.K > 0)


def lape(firing: Firing) -> Scores:
    """LAPE (eqs. 2-3): minus the entropy of P normalised over emotions, for the emotion of the largest P only.

    A gate whose largest P is shared belongs to no emotion; nor does a gate that never fires.

    Returns:
        scores[emotion, layer, neuron]
    """
    is_argmax_ELN = argmax_emotion(firing)
    return _ranked(firing, np.broadcast_to(-_entropy(firing, is_argmax_ELN), firing.K.shape), eligible=is_argmax_ELN)


def lape_filtered(firing: Firing) -> Scores:
    """LAPE with the filters of its original (Tang et al. 2024): only gates that fire often for an emotion belong to it.

    A gate belongs to every emotion for which its P is above the 95th percentile of all defined P. The lowest entropies
    rank first. Without the filter the lowest entropies are those of gates that almost never fire.

    Returns:
        scores[emotion, layer, neuron]
    """
    P = firing.probability
    defined = P[np.isfinite(P)]
    rank = round(PERCENTILE * defined.size) - 1
    bar = np.partition(defined, rank)[rank]
    entropy = _entropy(firing, argmax_emotion(firing))
    return _ranked(firing, np.broadcast_to(-entropy, P.shape), eligible=bar < P)


def mad(firing: Firing) -> Scores:
    """MAD (eqs. 4-5): |P - mean of P over emotions|, as printed: a gate that fires less for e is chosen too.

    Returns:
        scores[emotion, layer, neuron]; a deviation of exactly 0 is not eligible.
    """
    scores = np.zeros(firing.K.shape)
    for layer, neurons, T in firing.blocks():  # one at a time: Python's integers are large
        if all(T):
            scores[:, layer, neurons] = _deviation(firing.K[:, layer, neurons], T)
    return _ranked(firing, scores, eligible=scores > 0)


def _deviation(K_EN: npt.NDArray[np.int64], T: tuple[int, ...]) -> Scores:
    """|P - mean of P| of gates that share T[emotion]."""
    emotions, common = len(T), math.lcm(*T)
    # P = N / common without rounding. Beyond 2^53 only Python's integers are exact (and their quotient rounds once).
    exact = np.dtype(np.int64 if emotions * common < 2**53 else np.object_)
    N = K_EN.astype(exact) * np.array([common // t for t in T], exact)[:, None]
    return np.asarray(np.abs(emotions * N - N.sum(axis=0)) / (emotions * common), np.float64)


def conact(firing: Firing) -> Scores:
    """ConAct (eqs. 6-7): largest P minus the runner-up's, for the emotion of the largest P only.

    Returns:
        scores[emotion, layer, neuron]; the other emotions' zeros and shared maxima are not eligible.
    """
    K, T = firing.K, np.maximum(firing.positions, 1)  # where it was 0, K is 0 too and the gate is not eligible
    scores = np.full(K.shape, -np.inf)
    for e in range(len(K)):
        # Lead over each other emotion, P_e - P_o = (K_e T_o - K_o T_e) / (T_e T_o), and the smallest of them.
        leads = [(K[e] * T[o] - K[o] * T[e]) / (T[e] * T[o]) for o in range(len(K)) if o != e]
        scores[e] = np.min(leads, axis=0)
    return _ranked(firing, scores, eligible=argmax_emotion(firing))


def argmax_emotion(firing: Firing) -> npt.NDArray[np.bool_]:
    """is_argmax[emotion, layer, neuron]: whether P is larger for it than for every other emotion: K_a T_b > K_b T_a."""
    K, T = firing.K, firing.positions
    is_argmax_ELN = np.ones(K.shape, np.bool_)
    for a in range(len(K)):
        for b in range(len(K)):
            if a != b:
                is_argmax_ELN[a] &= K[a] * T[b] > K[b] * T[a]
    return is_argmax_ELN


def _entropy(firing: Firing, is_argmax_ELN: npt.NDArray[np.bool_]) -> Scores:
    """entropy[layer, neuron] in nats of P normalised over emotions; 0 for a silent gate."""
    P = np.nan_to_num(firing.probability)
    total = P.sum(axis=0)
    share = np.divide(P, total, out=np.zeros_like(P), where=total > 0)
    others = np.where(is_argmax_ELN, 0.0, share)
    rest = others.sum(axis=0)
    # log(own share) as log1p(-rest): near a single-emotion gate, log itself would lose the digits that rank.
    own_log = np.log1p(-rest, out=np.zeros_like(rest), where=is_argmax_ELN.any(axis=0) & (rest < 1))
    entropy: Scores = -(1 - rest) * own_log - (others * _log(others)).sum(axis=0)
    return entropy


def _ranked(firing: Firing, scores: Scores, *, eligible: npt.NDArray[np.bool_]) -> Scores:
    return np.where(eligible & firing.comparable, _significant(scores), -np.inf)


def _significant(values: Scores) -> Scores:
    """`values` rounded to DIGITS significant digits; 0 and infinities stay."""
    usable = np.isfinite(values) & (values != 0)
    exponent = np.floor(np.log10(np.abs(values), out=np.zeros_like(values), where=usable))
    scale = 10.0 ** (DIGITS - 1 - exponent)
    return np.divide(np.rint(values * scale), scale, out=values.copy(), where=usable)


def _log(values: Scores) -> Scores:
    return np.log(values, out=np.zeros_like(values), where=values > 0)

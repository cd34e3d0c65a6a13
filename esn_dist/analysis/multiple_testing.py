"""Corrections for many tests: Holm (any error at all) and Benjamini–Hochberg (share of false discoveries).

The p-values of one family go in; the adjusted ones come out in the same order. Knows no tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the i-th smallest of m times (m − i + 1), never falling, at most 1."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values."""
    from scipy.stats import false_discovery_control

    return [float(value) for value in false_discovery_control(p)] if len(p) else []

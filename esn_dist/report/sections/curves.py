"""Dose–response: self, cross and gap along gain, fraction or identification size (the paper's Figures 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Floats
from esn_dist.analysis.effects_dataset import estimate_of
from esn_dist.report.document import Number, PageFigure, Paragraph, Section, display
from esn_dist.report.dose_response import Axis, axes, curve
from esn_dist.report.numbers import decimal_text, fraction_text
from esn_dist.report.page_maps import MINUS, rounded_values
from esn_dist.report.results import Results
from esn_dist.report.titles import place_title

AXIS_TITLES = {"alpha": "gain α", "fraction": "fraction r", "identification_size": "utterances per emotion"}
READOUTS = {"self_effect": "self", "cross_effect": "cross", "gap": "gap"}
_EXPLANATION = (
    "Points are conditions, bands 95 % bootstrap intervals. Deactivation is the gain −1. At gain 0 nothing changes."
)
_NOTHING = "No gain, fraction or identification size has two values in this sweep."


def curve_section(results: Results) -> Section:
    """Figures of the page alone; files of figures are `report.figures`."""
    curves = [_curve(frame, axis) for frame in results.frames.values() for axis in axes(frame)]
    blocks = (Paragraph(_EXPLANATION), PageFigure("curves", {"curves": curves})) if curves else (Paragraph(_NOTHING),)
    return Section("dose-response", "Dose–response", blocks)


def _curve(frame: xr.Dataset, axis: Axis) -> dict[str, Any]:
    by_readout = {label: curve(frame, axis, readout) for readout, label in READOUTS.items()}
    values, _ = by_readout["self"]
    bounds = np.stack([of_readout for _, of_readout in by_readout.values()])
    return {
        "place": place_title(frame.attrs["model"], frame.attrs["corpus"]),
        "title": axis.title,
        "axis": AXIS_TITLES[axis.name],
        "values": values,
        "value_texts": [value_text(axis.name, value) for value in values],
        "ticks": [[value, text] for value, text in ticks(bounds)],
        "lines": {label: _line(label, axis, *of_readout) for label, of_readout in by_readout.items()},
    }


def _line(label: str, axis: Axis, values: Sequence[float], bounds: Floats) -> dict[str, Any]:
    """bounds[value][bound] to draw, and a tip per point."""
    tips = []
    for value, of_value in zip(values, bounds, strict=True):
        shown = str(display(Number(estimate_of(of_value), 2))).replace("-", MINUS)
        tips.append(f"{label} at {value_text(axis.name, value)}\n{shown}")
    return {"bounds": rounded_values(bounds), "tips": tips}


def value_text(axis: str, value: float) -> str:
    """A value on an axis, as the page writes it."""
    return fraction_text(value) if axis == "fraction" else f"{value:g}".replace("-", MINUS)


def ticks(bounds: Floats) -> Iterator[tuple[float, str]]:
    """About five round steps that cover all bounds and zero, with their texts."""
    defined = bounds[np.isfinite(bounds)]
    low, high = min(0.0, *defined, 0.0), max(0.0, *defined, 0.0)
    raw = (high - low or 1.0) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    digits = max(0, -int(np.floor(np.log10(step))))
    first, last = int(np.floor(low / step)), max(int(np.ceil(high / step)), int(np.floor(low / step)) + 1)
    for number in range(first, last + 1):
        yield number * step, decimal_text(number * step, digits).replace("-", MINUS)

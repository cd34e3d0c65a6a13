"""The paper's figures by matplotlib, in its arrangement, for any sweep: heat maps, curves, layers.

Knows no files and no stores. Needs the extra `report`; figures are made without pyplot, so nothing global changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from esn_dist.analysis.bootstrap import Floats
from esn_dist.analysis.summary import ALL
from esn_dist.report.dose_response import Axis, axes, curve, frame_conditions
from esn_dist.report.effect_tables import is_agnostic
from esn_dist.report.numbers import decimal_text, fraction_text
from esn_dist.report.results import Results
from esn_dist.report.titles import condition_title, place_title
from esn_dist.terms import JOIN

DIVERGING, SEQUENTIAL = "RdBu", "viridis"
PANEL_ATTRIBUTES = frozenset(("selector", "source_corpus"))  # what differs between the panels of Figure 1
AXIS_LABELS = {"fraction": "fraction r", "alpha": "gain α", "identification_size": "identified utterances per emotion"}
FIGURE_NUMBERS = {"fraction": "2ac", "alpha": "3", "identification_size": "2d"}
CURVES = {"self_effect": "self", "cross_effect": "cross", "gap": "gap"}


class Panel(NamedTuple):
    """One heat map: change[source, evaluation] in percentage points."""

    title: str
    change: xr.DataArray


def figures(results: Results) -> Iterator[tuple[str, Figure]]:
    """Name and figure, in the paper's order; the name begins with the figure's number in the paper."""
    yield from _figure_1(results)
    yield from _figures_2_and_3(results)
    yield from _figure_4(results)
    yield from _figure_5(results)


def heat_maps(rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """A grid of heat maps on one symmetric colour scale; rows are source emotions, columns evaluation emotions."""
    width = max(map(len, rows))
    figure = Figure(figsize=(2.6 * width + 0.9, 2.4 * len(rows) + 0.5), layout="constrained")
    limit = max(1.0, max(float(np.nanmax(np.abs(panel.change.values))) for row in rows for panel in row))
    grid = figure.subplots(len(rows), width, squeeze=False)
    for axes_of_row, row in zip(grid, rows, strict=True):
        for column, axis in enumerate(axes_of_row):
            if column < len(row):
                image = _heat_map(axis, row[column], limit)
            else:
                axis.axis("off")
    figure.colorbar(image, ax=grid, label="Δ accuracy (points)", shrink=0.7)
    figure.suptitle(title, fontsize=9)
    return figure


def curves(frame: xr.Dataset, axis: Axis) -> Figure:
    """Self, cross and gap along an axis, with 95 % bootstrap intervals as bands."""
    figure, plot = _axes_of_curves(frame, axis)
    for name, label in CURVES.items():
        _line(plot, *curve(frame, axis, name), label)
    plot.axhline(0, color="grey", linewidth=0.6)
    plot.set_ylabel("Δ accuracy (points)")
    plot.legend(fontsize=7)
    return figure


def accuracies(frame: xr.Dataset, axis: Axis, unmasked: float) -> Figure:
    """Figure 2d: accuracy (%) on the masks' own emotions and on the others, and that of the unintervened model.

    Both are means over emotions, so each is the unintervened model's mean accuracy plus the effect (exactly so where no
    answer is missing). The bands are those of the effects.
    """
    figure, plot = _axes_of_curves(frame, axis)
    for name in ("self_effect", "cross_effect"):
        values, bounds = curve(frame, axis, name)
        _line(plot, values, bounds + unmasked, CURVES[name])
    plot.axhline(unmasked, color="grey", linestyle="--", linewidth=1, label="unmasked")
    plot.set_ylabel("accuracy (%)")
    plot.legend(fontsize=7)
    return figure


def _axes_of_curves(frame: xr.Dataset, axis: Axis) -> tuple[Figure, Axes]:
    """An empty figure with a tick at every value of the axis."""
    figure = Figure(figsize=(4.2, 3.0), layout="constrained")
    plot = figure.subplots()
    values, _ = curve(frame, axis, "self_effect")
    if axis.name != "alpha" and axis.values[-1] / axis.values[0] > 5:
        plot.set_xscale("log")
    percent = axis.name == "fraction"
    plot.set_xticks(values, [fraction_text(v) if percent else f"{v:g}" for v in values])
    plot.set_xticks([], minor=True)
    plot.set_xlabel(AXIS_LABELS[axis.name])
    plot.set_title(f"{place_title(frame.attrs['model'], frame.attrs['corpus'])}\n{axis.title}", fontsize=7)
    return figure, plot


def _line(plot: Axes, values: Sequence[float], bounds: Floats, label: str) -> None:
    """Points with their band; nothing where the readout is undefined."""
    if np.isfinite(bounds).any():
        plot.plot(values, bounds[:, 0], marker="o", markersize=3, label=label)
        plot.fill_between(values, bounds[:, 1], bounds[:, 2], alpha=0.2)


def _figure_1(results: Results) -> Iterator[tuple[str, Figure]]:
    """Per model, intervention and fraction: a row per corpus, a column per selector, each with its own masks."""
    grids: dict[tuple[str, str], dict[str, list[Panel]]] = {}
    for (model, corpus), frame in results.frames.items():
        for number, condition in enumerate(frame_conditions(frame)):
            if condition.source_corpus == corpus and not is_agnostic(condition.intervention):
                panel = Panel(f"{condition.selector}, {corpus}", _matrix(frame, number))
                shared = condition_title(condition, omit=PANEL_ATTRIBUTES)
                grids.setdefault((model, shared), {}).setdefault(corpus, []).append(panel)
    for number, ((model, title), rows) in enumerate(grids.items()):
        yield f"figure1-{model}-{number}", heat_maps(list(rows.values()), f"{model}: {title}")


def _figures_2_and_3(results: Results) -> Iterator[tuple[str, Figure]]:
    unmasked = {(row.model, row.corpus): row.accuracy.point for row in results.baselines if row.emotion == ALL}
    for (model, corpus), frame in results.frames.items():
        # Deactivation and one gain are two heat maps of Figure 1; a row of heat maps needs two gains.
        shown = (axis for axis in axes(frame) if axis.name != "alpha" or sum(value > 0 for value in axis.values) > 1)
        for number, axis in enumerate(shown):
            name = f"figure{FIGURE_NUMBERS[axis.name]}-{model}-{corpus}-{axis.shared.selector}-{number}"
            if axis.shared.source_corpus and not is_agnostic(axis.shared.intervention):
                yield f"{name}-maps", heat_maps([_panels(frame, axis)], f"{place_title(model, corpus)}: {axis.title}")
            yield f"{name}-curves", curves(frame, axis)
            level = unmasked[model, corpus]
            if axis.name == "identification_size" and level is not None:
                yield f"{name}-accuracies", accuracies(frame, axis, level)


def _panels(frame: xr.Dataset, axis: Axis) -> list[Panel]:
    """A heat map per value. Deactivation, which is in Figure 1, would make the colours of the gains too weak."""
    shown = [pair for pair in zip(axis.values, axis.positions, strict=True) if axis.name != "alpha" or pair[0] != -1]
    titles = {"fraction": "r = {0:g} %", "alpha": "α = {1:g}", "identification_size": "{1:g} utterances"}
    return [Panel(titles[axis.name].format(100 * value, value), _matrix(frame, position)) for value, position in shown]


def _figure_4(results: Results) -> Iterator[tuple[str, Figure]]:
    """Per source corpus and fraction: a row per selector, a column per model; emotions by layers."""
    places = dict.fromkeys(
        (str(corpus), float(fraction))
        for neurons in results.layers.values()
        for corpus, fraction in zip(neurons["source_corpus"].values, neurons["fraction"].values, strict=True)
        if corpus
    )
    for corpus, fraction in places:
        chosen = {m: _masks_of(neurons, corpus, fraction) for m, neurons in results.layers.items()}
        selectors = list(dict.fromkeys(str(s) for neurons in chosen.values() for s in neurons["selector"].values))
        yield (
            f"figure4-{corpus}-{fraction:g}",
            _layers(chosen, selectors, f"masks from {corpus}, r = {fraction_text(fraction)}"),
        )


def _figure_5(results: Results) -> Iterator[tuple[str, Figure]]:
    """Per model and condition: a panel per source corpus → evaluation corpus."""
    transfers: dict[tuple[str, str], list[Panel]] = {}
    for (model, corpus), frame in results.frames.items():
        for number, condition in enumerate(frame_conditions(frame)):
            source = condition.source_corpus
            if source and source != corpus and not is_agnostic(condition.intervention):
                panel = Panel(f"{source} → {corpus}", _matrix(frame, number))
                transfers.setdefault((model, condition_title(condition, omit=("source_corpus",))), []).append(panel)
    for number, ((model, title), panels) in enumerate(transfers.items()):
        rows = [panels[start : start + 3] for start in range(0, len(panels), 3)]
        yield f"figure5-{model}-{number}", heat_maps(rows, f"{model}: {title}, masks of another corpus")


def _layers(chosen: dict[str, xr.DataArray], selectors: Sequence[str], title: str) -> Figure:
    size = (3.6 * len(chosen) + 1, 1.5 * len(selectors) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(selectors), len(chosen), squeeze=False)
    norm = LogNorm(1, max(2, max(int(neurons.max()) for neurons in chosen.values() if neurons.size)))
    for selector, of_row in zip(selectors, grid, strict=True):
        for (model, neurons), axis in zip(chosen.items(), of_row, strict=True):
            masks = neurons.isel(mask=(neurons["selector"] == selector).values)
            image = axis.imshow(np.where(masks > 0, masks, np.nan), aspect="auto", norm=norm, cmap=SEQUENTIAL)
            axis.set_yticks(range(masks.sizes["mask"]), masks["source_emotion"].values, fontsize=6)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.tick_params(axis="x", labelsize=6)
            axis.set_title(f"{model}: {selector}", fontsize=7)
            axis.set_xlabel("layer", fontsize=6)
    figure.colorbar(image, ax=grid, label="neurons (log)", shrink=0.8)
    figure.suptitle(title, fontsize=9)
    return figure


def _masks_of(neurons: xr.DataArray, corpus: str, fraction: float) -> xr.DataArray:
    """One mask per selector and emotion, without unions: of several identification sizes or parts the first."""
    kept: dict[tuple[str, str], int] = {}
    rows = zip(*(neurons[n].values for n in ("source_corpus", "fraction", "selector", "source_emotion")), strict=True)
    for row, (source, r, selector, emotion) in enumerate(rows):
        if (source, r) == (corpus, fraction) and JOIN not in emotion:
            kept.setdefault((selector, emotion), row)
    return neurons.isel(mask=list(kept.values()))


def _matrix(frame: xr.Dataset, condition: int) -> xr.DataArray:
    """Sources that this condition has; the emotions of its evaluation corpus."""
    change = frame["change"].isel(condition=condition)
    return change.isel(source=np.isfinite(change.values).any(axis=1))


def _heat_map(axis: Axes, panel: Panel, limit: float) -> Any:
    values = panel.change.values
    image = axis.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit)
    axis.set_xticks(range(values.shape[1]), panel.change["evaluation"].values, rotation=40, ha="right", fontsize=6)
    axis.set_yticks(range(values.shape[0]), panel.change["source"].values, fontsize=6)
    axis.set_title(panel.title, fontsize=7)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        text = decimal_text(float(value) if np.isfinite(value) else None, 1, signed=True)
        axis.text(column, row, text, ha="center", va="center", fontsize=5, color=colour)
    return image

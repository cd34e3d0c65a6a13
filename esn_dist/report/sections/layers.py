"""Where the masks are: neurons of each mask by layer (the paper's Figure 4)."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from esn_dist.analysis.trials import emotions_of
from esn_dist.report.document import CsvRow, Paragraph, Section
from esn_dist.report.numbers import fraction_text
from esn_dist.report.page_maps import PageMap, maps_figure
from esn_dist.report.results import Results
from esn_dist.report.titles import identification_title

_MASK_ORIGIN = ("selector", "source_corpus", "fraction", "identification_size", "parts")
MASK_COLUMNS = ("selector", "source_corpus", "source_emotion", "fraction", "mask_seed", "identification_size", "parts")


def layer_section(results: Results) -> Section:
    """Figures of the page, and `layers.csv`."""
    maps = [page_map for model, neurons in results.layers.items() for page_map in _maps(model, neurons)]
    if not maps:
        return Section("layers", "Layers", (Paragraph("No mask is written yet."),))
    explanation = Paragraph("Neurons of each mask by layer; the shade is logarithmic.")
    figure = maps_figure("layer-maps", maps, filters=True, counts=True)
    return Section("layers", "Layers", (explanation, figure), {"layers": list(layer_rows(results))})


def layer_rows(results: Results) -> Iterator[CsvRow]:
    """One row per mask and layer."""
    for model, neurons in results.layers.items():
        for row in range(neurons.sizes["mask"]):
            mask = neurons.isel(mask=row)
            head = {
                "model": model,
                "mask": str(mask["mask"].values),
                **{name: mask[name].item() for name in MASK_COLUMNS},
            }
            yield from ({**head, "layer": layer, "neurons": int(count)} for layer, count in enumerate(mask.values))


def _maps(model: str, neurons: xr.DataArray) -> Iterator[PageMap]:
    """One per way of finding masks; a row per mask."""
    keys = list(zip(*(neurons[name].values.tolist() for name in _MASK_ORIGIN), strict=True))
    for key in dict.fromkeys(keys):
        selector, corpus, fraction, size, parts = key
        masks = neurons.isel(mask=[row for row, other in enumerate(keys) if other == key])
        names = [_mask_name(masks, row) for row in range(masks.sizes["mask"])]
        yield PageMap(
            title=f"{selector}, r = {fraction_text(fraction)}{identification_title(size, parts)}",
            place=f"{model}, {f'masks from {corpus}' if corpus else 'random masks'}",
            selector=selector,
            rows=names,
            columns=list(map(str, range(masks.sizes["layer"]))),
            values=masks.values.astype(float),
            texts=[list(map(str, row)) for row in masks.values.tolist()],
            tips=[
                [f"{name}, layer {layer}\n{count} neurons" for layer, count in enumerate(row)]
                for name, row in zip(names, masks.values.tolist(), strict=True)
            ],
        )


def _mask_name(masks: xr.DataArray, row: int) -> str:
    """Emotion and seed. Unions of more than two by their number: their names are wider than a telephone."""
    emotion, seed = str(masks["source_emotion"].values[row]), int(masks["mask_seed"].values[row])
    count = len(emotions_of(emotion))
    named = emotion if count < 3 else f"union of {count}"
    return ", ".join(filter(None, (named, f"seed {seed}" if seed >= 0 else "")))

"""Stability of masks: overlap with themselves over bootstrapped identification sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.identification import identification_pool
from esn_dist.analysis.stability import mask_stability
from esn_dist.report.document import Count, CsvRow, Number, Paragraph, Section, TableCell, number, table
from esn_dist.report.numbers import fraction_text
from esn_dist.report.results import Results
from esn_dist.report.titles import identification_title
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import Description
from esn_dist.sweep.selectors import SELECTORS
from esn_dist.terms import JOIN

_EXPLANATION = "Jaccard overlap with the mask itself over bootstrapped identification sets: mean and 95 % of the draws."
_MASK_ORIGIN = ("source_corpus", "identification_size", "parts", "fraction")


def stability_section(results: Results) -> Section | None:
    """A line per mask; None where the settings have no draws."""
    draws, seed = results.settings.stability, results.settings.effects.seed
    datasets = stabilities(results.folder, results.description, results.masks, draws, seed) if draws else ()
    rows = [row for dataset in datasets for row in stability_rows(dataset)]
    if not rows:
        return None
    labels, heads = ("Model", "Masks from", "Selector", "Emotion"), ("Neurons", "Jaccard", "Pairs of draws")
    shown = table(labels, heads, list(map(_line, rows)), caption="Stability of masks.")
    return Section(
        "stability", "Stability of masks", (Paragraph(_EXPLANATION), shown), {"stability": rows}, "Stability"
    )


def stabilities(
    folder: StoreFolder, description: Description, masks: Mapping[str, xr.Dataset], draws: int, seed: int
) -> Iterator[xr.Dataset]:
    """One dataset per way of identifying that the masks of a model have: corpora, size, parts, fraction."""
    for model, of_model in masks.items():
        origins = list(zip(*(of_model[name].values.tolist() for name in _MASK_ORIGIN), strict=True))
        for origin in dict.fromkeys(origin for origin in origins if origin[0]):
            corpus, size, parts, fraction = origin
            used = of_model["selector"].values[[other == origin for other in origins]]
            selectors = [name for name in SELECTORS if name in used and SELECTORS[name].from_sums]
            if selectors and all(name in description.models[model]["counts"] for name in corpus.split(JOIN)):
                pool = identification_pool(folder, model, corpus, size=size or "auto", parts=parts.split(JOIN))
                yield mask_stability(pool, selectors, f"{fraction:.10g}", seed, draws=draws)


def stability_rows(dataset: xr.Dataset) -> Iterator[CsvRow]:
    """One row per selector and emotion of a dataset of `analysis.stability`."""
    for selector in dataset["selector"].values:
        for emotion in dataset["emotion"].values:
            mask = dataset.sel(selector=selector, emotion=emotion)
            head = {**dataset.attrs, "selector": str(selector), "emotion": str(emotion), "neurons": int(mask["size"])}
            overlaps = mask["jaccard"].values[np.isfinite(mask["jaccard"].values)]
            low, high = np.quantile(overlaps, [0.025, 0.975]) if len(overlaps) else (np.nan, np.nan)
            values = {"jaccard": overlaps.mean() if len(overlaps) else np.nan, "low": low, "high": high}
            values["pairwise"] = float(mask["pairwise"])
            defined = {key: float(value) if np.isfinite(value) else None for key, value in values.items()}
            yield {**head, "draws": dataset.sizes["draw"], **defined}


def _line(row: CsvRow) -> list[TableCell | str]:
    how = identification_title(row["identification_size"], row["parts"])
    origin = f"{row['corpus']}{how}, r = {fraction_text(float(row['fraction']))}"
    jaccard = Number(Estimate(row["jaccard"], row["low"], row["high"]), 2, signed=False)
    labels = [row["model"], origin, row["selector"], row["emotion"]]
    return [*labels, Count(row["neurons"]), jaccard, number(row["pairwise"], 2, signed=False)]

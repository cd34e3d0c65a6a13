"""What the model answered for one clip under every mask: a figure of the page that readers choose from.

Answers are packed (codes, and positions in a list of distinct texts), so that a page holds a sweep's answers at once;
beyond `MOST_ANSWERS` it holds the first utterances of each emotion, and this is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from esn_dist.analysis.trials import conditions_of
from esn_dist.report.document import PageFigure, Paragraph, Section
from esn_dist.report.results import Place, Results
from esn_dist.report.titles import condition_title, place_title
from esn_dist.store.read import read_texts
from esn_dist.sweep.interventions import BASELINE, derived_types
from esn_dist.terms import Outcome

MOST_ANSWERS = 400_000
OUTCOME_TITLES = {
    Outcome.NOT_WRITTEN: "not written",
    Outcome.ANSWERED: "answered",
    Outcome.UNPARSED: "no option named",
    Outcome.UNREADABLE: "unreadable",
    Outcome.NON_FINITE: "non-finite",
}


def utterance_section(results: Results) -> Section:
    """On the page alone."""
    share = MOST_ANSWERS // len(results.answers)
    places = [_place(results, place, answers, share) for place, answers in results.answers.items()]
    short = (place for place in places if len(place["ids"]) < place["of"])
    held = "; ".join(f"{p['place']}: the first {len(p['ids'])} of {p['of']} utterances" for p in short)
    note = f" This page holds {held}; the store has all." if held else ""
    explanation = Paragraph(f"What the model answered for one clip, under every mask.{note}")
    data = {"places": places, "outcomes": list(OUTCOME_TITLES.values()), "answered": int(Outcome.ANSWERED)}
    return Section("utterances", "Utterances", (explanation, PageFigure("utterances", data)))


def _place(results: Results, place: Place, answers: xr.Dataset, share: int) -> dict[str, Any]:
    # 2-Pass has no texts of its own, as all derived types: each of its answers is that of a steering cell.
    answers = answers.isel(cell=(~answers["intervention"].isin(list(derived_types()))).values)
    kept = _first_of_each(answers, share // max(1, answers.sizes["cell"]))
    shown = answers.isel(utterance=kept)
    texts: dict[str, int] = {}
    text_positions = [_text_positions(results, place, str(cell), kept, texts) for cell in answers["cell"].values]
    return {
        "place": place_title(*place),
        "of": answers.sizes["utterance"],
        "emotions": list(map(str, answers["emotion"].values)),
        "ids": list(map(str, shown["utterance"].values)),
        "speakers": list(map(str, shown["speaker"].values)),
        "labels": list(map(str, shown["label"].values)),
        "numbers": shown["option_number"].values.tolist(),
        "cells": _cells(answers),
        "answer": shown["answer"].values.tolist(),
        "outcome": shown["outcome"].values.tolist(),
        "text": text_positions,
        "texts": list(texts),
    }


def _first_of_each(answers: xr.Dataset, most: int) -> list[int]:
    """Positions of the first utterances of each emotion, `most` at most in all (but one of each)."""
    labels = answers["label"].values
    if len(labels) <= most:
        return list(range(len(labels)))
    emotions = list(dict.fromkeys(labels))
    each = max(1, most // len(emotions))
    return sorted(int(row) for emotion in emotions for row in np.flatnonzero(labels == emotion)[:each])


def _text_positions(results: Results, place: Place, cell: str, kept: Sequence[int], texts: dict[str, int]) -> list[int]:
    """Position in `texts` of the answer's text to each kept utterance; new texts are added."""
    read = read_texts(results.folder, *place, cell)
    answers = zip(read["text"].values[kept], read["truncated"].values[kept], strict=True)
    return [texts.setdefault(str(text) + ("…" if truncated else ""), len(texts)) for text, truncated in answers]


def _cells(answers: xr.Dataset) -> list[dict[str, Any]]:
    """Title, source and whether it is the baseline, of each cell."""
    cells = []
    for cell, condition in enumerate(conditions_of(answers)):
        seed = int(answers["mask_seed"].values[cell])
        source = str(answers["source_emotion"].values[cell]) or (f"seed {seed}" if seed >= 0 else "")
        baseline = condition.intervention == BASELINE
        title = "unintervened" if baseline else condition_title(condition)
        cells.append({"title": title, "source": source, "baseline": baseline})
    return cells

"""How many utterances of each emotion could be used to identify neurons, and how many were (the paper's Table 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import xarray as xr

from esn_dist.analysis.identification import identification_pool
from esn_dist.selection.identification_sets import NothingIdentified
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import Description


class PoolSize(NamedTuple):
    """Correctly answered identification utterances of one emotion, and how many of each emotion were used."""

    model: str
    corpus: str
    emotion: str
    correct: int
    used: int


def pool_sizes(folder: StoreFolder, description: Description, masks: Mapping[str, xr.Dataset]) -> Iterator[PoolSize]:
    """Every model, corpus and emotion with counts.

    `used` is that of the largest mask; where nothing was selected, what could be used.
    """
    counted = [(model, corpus) for model, facts in description.models.items() for corpus in facts["counts"]]
    for model, corpus in counted:
        from_corpus = masks[model]["source_corpus"].values == corpus
        identified = masks[model]["identified"].values[from_corpus]
        try:
            chosen = identification_pool(folder, model, corpus).chosen
        except NothingIdentified:
            continue  # its masks are failed units, which are shown
        used = int(identified.max()) if len(identified) else chosen.size
        for emotion, correct in zip(chosen.emotions, chosen.available, strict=True):
            yield PoolSize(model, corpus, emotion, correct, used)

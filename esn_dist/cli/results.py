"""What the commands print of a store's finished cells. Knows no model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esn_dist.analysis.summary import BaselineRow, EffectRow


def effect_rows(folder: Path, **settings: Any) -> tuple[list[EffectRow], list[BaselineRow]]:
    """Rows of all finished cells of a store, and of its baselines; settings as in `analysis.measure.EffectSettings`."""
    from esn_dist.analysis import measure, summary
    from esn_dist.report.findings import finished
    from esn_dist.store.folder import StoreFolder

    answers = finished(StoreFolder(folder))[0].values()
    measured = [measure.measure(dataset, measure.EffectSettings(**settings)) for dataset in answers]
    return summary.effect_rows(measured), summary.baseline_rows(measured)


def unverified_speakers(folder: Path) -> list[str]:
    """A line for each corpus whose sets should share no speaker, but may."""
    from esn_dist.report.speakers import unpromised
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe
    from esn_dist.store.speakers import read_speakers

    store = StoreFolder(folder)
    return unpromised(read_speakers(store, corpus) for corpus in describe(store).corpora)

"""Do two emotions' neurons add up? The emotion × emotion matrix of every condition that ran pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.effects_dataset import estimate_of
from esn_dist.analysis.flat_rows import flat_condition, flat_estimate
from esn_dist.analysis.interaction import interaction_matrix, interactions, pair_groups, single_group
from esn_dist.analysis.measured_effects import EffectSettings, MeasuredEffects, bootstrap_sample
from esn_dist.analysis.trials import Condition
from esn_dist.report.document import (
    CsvRow,
    Display,
    Number,
    PageFigure,
    Paragraph,
    ReportTable,
    Section,
    TableLine,
    display,
    table,
)
from esn_dist.report.page_maps import PageMap, maps_figure
from esn_dist.report.results import Place, Results
from esn_dist.report.titles import condition_title, place_title

WITHOUT_SINGLES = "pairs ran and their single emotions did not, so the interaction is undefined"
_EXPLANATION = (
    "Δ(both masks) − Δ(first) − Δ(second) in percentage points, mean over the pair's two emotions, with 95 % bootstrap "
    "intervals. 0: they act independently. Negative under co-deactivation: together they reduce accuracy more than "
    "their sum."
)


class PairMatrix(NamedTuple):
    """`matrix` as of `analysis.interaction.interaction_matrix`."""

    model: str
    corpus: str
    condition: Condition
    matrix: xr.Dataset

    @property
    def title(self) -> str:
        """`tiny on studio: Co-deactivation, ConAct, r = 10 %`."""
        return f"{place_title(self.model, self.corpus)}: {condition_title(self.condition)}"

    @property
    def emotions(self) -> list[str]:
        """Both axes."""
        return [str(name) for name in self.matrix["first"].values]


def pair_section(results: Results) -> Section | None:
    """A matrix per condition."""
    return pair_matrices_section(pair_matrices(results.measured, results.settings.effects))


def pair_matrices_section(matrices: Sequence[PairMatrix]) -> Section | None:
    """The matrices as a section; None where no pair ran."""
    if not matrices:
        return None
    blocks = (Paragraph(_EXPLANATION), _figure(matrices))
    return Section(
        "pairs", "Interaction of two emotions' neurons", blocks, {"interactions": list(pair_rows(matrices))}, "Pairs"
    )


def pair_matrices(measured: Mapping[Place, MeasuredEffects], settings: EffectSettings) -> list[PairMatrix]:
    """Every condition of two emotions' masks whose single emotions ran too."""
    matrices = []
    for (model, corpus), effects in measured.items():
        for group in pair_groups(effects.trials):
            if single_group(effects.trials, group):
                sample = bootstrap_sample(effects.trials, settings)
                matrix = interaction_matrix(interactions(effects.trials, group, sample))
                matrices.append(PairMatrix(model, corpus, group.condition, matrix))
    return matrices


def without_single_emotions(results: Results) -> Iterator[str]:
    """Notes on conditions of pairs that have no matrix."""
    for (model, corpus), effects in results.measured.items():
        for group in pair_groups(effects.trials):
            if single_group(effects.trials, group) is None:
                yield f"{place_title(model, corpus)}, {condition_title(group.condition)}: {WITHOUT_SINGLES}"


def pair_rows(matrices: Sequence[PairMatrix]) -> Iterator[CsvRow]:
    """One row per pair: the interaction on its own emotions and on the others."""
    for pair in matrices:
        for a, first in enumerate(pair.emotions):
            for b, second in list(enumerate(pair.emotions))[a + 1 :]:
                both, others = (
                    estimate_of(pair.matrix[name].values[a, b]) for name in ("pair_emotions", "other_emotions")
                )
                if both.point is not None:
                    head = {"model": pair.model, "corpus": pair.corpus, **flat_condition(pair.condition)}
                    values = {**flat_estimate("own", both), **flat_estimate("others", others)}
                    yield {**head, "first": first, "second": second, **values}


def _figure(matrices: Sequence[PairMatrix]) -> PageFigure:
    maps = tuple(map(_map, matrices))
    return maps_figure("pair-maps", maps, filters=False, instead=tuple(map(_table, matrices)))


def _table(pair: PairMatrix) -> ReportTable:
    values = pair.matrix["pair_emotions"].values
    lines: list[TableLine] = [
        [name, *(Number(estimate_of(bounds)) for bounds in values[a])] for a, name in enumerate(pair.emotions)
    ]
    return table(
        ("",), pair.emotions, lines, pair.title, caption=f"Interaction of two emotions' neurons. {pair.title}."
    )


def _map(pair: PairMatrix) -> PageMap:
    both, others = pair.matrix["pair_emotions"].values, pair.matrix["other_emotions"].values
    size = range(len(pair.emotions))
    tips = [[_tip(pair.emotions[a], pair.emotions[b], both[a, b], others[a, b]) for b in size] for a in size]
    texts = [[display(Number(Estimate(estimate_of(both[a, b]).point, None, None))).value for b in size] for a in size]
    return PageMap(pair.title, "", "", pair.emotions, pair.emotions, both[:, :, 0], texts, tips)


def _tip(first: str, second: str, both: np.ndarray, others: np.ndarray) -> str:
    shown: list[Display] = [display(Number(estimate_of(bounds))) for bounds in (both, others)]
    return f"{first} and {second}\nown emotions {shown[0]}\nother emotions {shown[1]}"

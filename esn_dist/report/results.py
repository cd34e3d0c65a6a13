"""What a store says, read and computed when a section of the report first asks for it, and then kept.

Cells that are not finished are left out and counted; a corpus without a finished baseline gives no effects. Knows no
tables and no markup.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from esn_dist.analysis.effects_dataset import effects_dataset
from esn_dist.analysis.locality import layer_distribution
from esn_dist.analysis.measured_effects import DEFAULT_SETTINGS, EffectSettings, MeasuredEffects, measure
from esn_dist.analysis.significance import SignificanceTest, significance
from esn_dist.analysis.summary import BaselineRow, EffectRow, baseline_rows, effect_rows
from esn_dist.analysis.two_pass import with_two_pass
from esn_dist.errors import UserError
from esn_dist.report.identification_pools import PoolSize, pool_sizes
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import Description, describe, open_answers, open_masks
from esn_dist.store.speakers import Speakers, read_speakers
from esn_dist.sweep.interventions import BASELINE

Place = tuple[str, str]  # model, corpus


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """How a report is computed.

    Attributes:
        effects: of every effect and interval.
        stability: bootstrapped identification sets; 0 leaves the section out.
    """

    effects: EffectSettings = DEFAULT_SETTINGS
    stability: int = 0


class Results:
    """The results of one store. Datasets are in memory, except the masks."""

    def __init__(self, folder: StoreFolder, settings: ReportSettings | None = None) -> None:
        """Raises `UserError` where the folder has no store, or no baseline is finished."""
        self.folder = folder
        self.settings = settings or ReportSettings()
        self.description: Description = describe(folder)
        self.answers, self.unfinished = finished_answers(folder)

    @property
    def title(self) -> str:
        """Name of the sweep."""
        return str(self.description.attributes.get("sweep", self.folder.root.name))

    @cached_property
    def measured(self) -> dict[Place, MeasuredEffects]:
        """Effects by model and corpus, from one bootstrap each."""
        return {place: measure(answers, self.settings.effects) for place, answers in self.answers.items()}

    @cached_property
    def rows(self) -> list[EffectRow]:
        """Effects of every condition, and their macro means."""
        return effect_rows(list(self.measured.values()))

    @cached_property
    def baselines(self) -> list[BaselineRow]:
        """Accuracy of the unintervened models."""
        return baseline_rows(self.measured.values())

    @cached_property
    def frames(self) -> dict[Place, xr.Dataset]:
        """Effects as datasets, by model and corpus."""
        return {place: effects_dataset(measured) for place, measured in self.measured.items()}

    @cached_property
    def tests(self) -> list[SignificanceTest]:
        """Every test, corrected within its family."""
        effects = self.settings.effects
        datasets = list(self.answers.values())
        return significance(datasets, seed=effects.seed, invalid_is_wrong=effects.invalid_is_wrong)

    @cached_property
    def masks(self) -> dict[str, xr.Dataset]:
        """The masks of each model, lazy."""
        return {model: open_masks(self.folder, model) for model in self.description.models}

    @cached_property
    def layers(self) -> dict[str, xr.DataArray]:
        """Per model: neurons[mask, layer]."""
        return {model: layer_distribution(masks) for model, masks in self.masks.items()}

    @cached_property
    def pools(self) -> list[PoolSize]:
        """Correctly answered utterances of every model, corpus and emotion that was identified."""
        return list(pool_sizes(self.folder, self.description, self.masks))

    @cached_property
    def speakers(self) -> list[Speakers]:
        """Per corpus: whether its two sets share speakers."""
        return [read_speakers(self.folder, corpus) for corpus in self.description.corpora]

    @cached_property
    def provenance(self) -> list[dict[str, Any]]:
        """One mapping per run, oldest first."""
        keys = sorted(key for key in self.folder.backend.keys_below("provenance") if key.endswith(".json"))
        return [json.loads(self.folder.backend.read(key)) for key in keys]

    @property
    def registered_models(self) -> dict[str, str]:
        """Registered model by the name of a model in the sweep."""
        return {name: str(facts.get("model", name)) for name, facts in self.description.models.items()}

    @property
    def emotions(self) -> dict[str, list[str]]:
        """Emotions of each corpus."""
        return {name: facts["emotions"] for name, facts in self.description.corpora.items()}


def finished_answers(folder: StoreFolder) -> tuple[dict[Place, xr.Dataset], dict[Place, int]]:
    """The finished cells of every model and corpus that has a finished baseline, and how many cells are left out.

    2-Pass, which the steering cells imply, comes with them as cells of its own.

    Raises:
        UserError: no store, or no finished baseline.
    """
    finished, unfinished = {}, {}
    for model, facts in describe(folder).models.items():
        for corpus in facts["answers"]:
            answers = open_answers(folder, model, corpus, complete=True).load()
            remaining = open_answers(folder, model, corpus).sizes["cell"] - answers.sizes["cell"]
            if remaining:
                unfinished[model, corpus] = remaining
            if BASELINE in answers["intervention"].values:
                finished[model, corpus] = with_two_pass(answers)
    if not finished:
        raise UserError(
            "no baseline is finished yet, so effects are undefined",
            where=str(folder.root), fix=f"esn-dist status {folder.root}",
        )  # fmt: skip
    return finished, unfinished

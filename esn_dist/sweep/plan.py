"""Studies → cells and masks: pure, deterministic, de-duplicated across studies by the hash of their meaning.

A cell is one (model, evaluation corpus, intervention) over *all* evaluation utterances: its self-effect and all its
cross-effects come from the same answers. Knows nothing of what is done already, of sizes, or of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import TypeVar

from esn_dist.sweep.experts import refuse_on_experts
from esn_dist.sweep.interventions import intervention_provider
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.mask_families import MaskFamily, mask_families
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import InterventionSpec, StudySpec

_Once = TypeVar("_Once")


@dataclass(frozen=True)
class Plan:
    """The cells and masks of a sweep.

    Attributes:
        studies: cells of each study, baselines included.
        selected: masks of each study, those without a cell included.
        cells: every cell once, grouped by model and corpus, baseline first.
        masks: every mask that a study needs, once.
    """

    studies: dict[str, tuple[Cell, ...]]
    selected: dict[str, tuple[MaskKey, ...]]
    cells: tuple[Cell, ...]
    masks: tuple[MaskKey, ...]

    def cells_of(self, model: str, corpus: str) -> tuple[Cell, ...]:
        """Cells of one model on one evaluation corpus."""
        return tuple(cell for cell in self.cells if (cell.model, cell.corpus) == (model, corpus))

    def masks_of(self, model: str) -> tuple[MaskKey, ...]:
        """Masks of one model."""
        return tuple(mask for mask in self.masks if mask.model == model)


def plan(sweep: Sweep, added: Mapping[str, Sequence[Cell]] = MappingProxyType({})) -> Plan:
    """Expand every study of `sweep`.

    Args:
        added: by study, cells of later rounds of a search.

    Raises:
        UserError: a study asks for an intervention that one of its models cannot run.
    """
    studies = {name: _once((*_cells(sweep, study), *added.get(name, ()))) for name, study in sweep.studies.items()}
    for model in sweep.models:
        if model.model in MODELS:
            refuse_on_experts(studies, model.name, MODELS[model.model].experts)
    selected = {name: _once(_masks(sweep, study, studies[name])) for name, study in sweep.studies.items()}
    cells = _grouped(sweep, _once(cell for study in studies.values() for cell in study))
    needed = (mask for cell in cells for mask in cell.masks)
    masks = _once((*needed, *(mask for study in selected.values() for mask in study)))
    return Plan(studies, selected, cells, masks)


def _grouped(sweep: Sweep, cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """By model and corpus in the sweep's order; the baseline leads, since every effect is a difference from it."""
    groups = product((model.name for model in sweep.models), (corpus.name for corpus in sweep.corpora))
    order = {group: number for number, group in enumerate(groups)}
    return tuple(sorted(cells, key=lambda cell: (order[cell.model, cell.corpus], cell.mask is not None)))


def _cells(sweep: Sweep, study: StudySpec) -> Iterator[Cell]:
    if not study.interventions:
        return
    providers = {spec.type: intervention_provider(spec.entry.cell_type) for spec in study.interventions}
    for model, corpus in _model_corpus_pairs(sweep, study):
        yield Cell(model, corpus)
        for family in mask_families(sweep, study, model, corpus):
            for mask, spec in _masks_to_act_on(family, study.interventions):
                for alpha, parameters in product(spec.gains, spec.parameters):
                    yield Cell(model, corpus, mask, alpha, spec.entry.cell_type, parameters, providers[spec.type])


def _masks_to_act_on(
    family: MaskFamily, interventions: Sequence[InterventionSpec]
) -> Iterator[tuple[MaskKey, InterventionSpec]]:
    """Each mask of one emotion with its interventions; then each intervention on several emotions with its masks."""
    single = [spec for spec in interventions if spec.entry.masks == "one"]
    yield from product(family.singles, single)
    for spec in interventions:
        if spec.entry.masks != "one":
            yield from ((mask, spec) for mask in (family.pairs if spec.entry.masks == "pair" else (family.union,)))


def _masks(sweep: Sweep, study: StudySpec, cells: Iterable[Cell]) -> Iterator[MaskKey]:
    """Those that the cells need; of a study without interventions, those of single emotions."""
    if study.interventions:
        yield from (mask for cell in cells for mask in cell.masks)
        return
    for model, corpus in _model_corpus_pairs(sweep, study):
        for family in mask_families(sweep, study, model, corpus):
            yield from family.singles


def _model_corpus_pairs(sweep: Sweep, study: StudySpec) -> Iterator[tuple[str, str]]:
    """Each model on each evaluation corpus of the study."""
    models = study.models or tuple(model.name for model in sweep.models)
    yield from product(models, study.corpora or tuple(corpus.name for corpus in sweep.corpora))


def _once(items: Iterable[_Once]) -> tuple[_Once, ...]:
    return tuple(dict.fromkeys(items))

"""Studies → cells and masks: pure, deterministic, de-duplicated across studies by the hash of their meaning.

A cell is one (model, evaluation corpus, intervention) over *all* evaluation utterances: its self-effect and all its
cross-effects come from the same answers. Knows nothing of what is done already, of sizes, or of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from types import MappingProxyType
from typing import TypeVar

from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.experts import refuse_on_experts
from esn_dist.sweep.interventions import INTERVENTIONS
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.selectors import FILE, RND, is_random, selector_provider
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import InterventionSpec, StudySpec
from esn_dist.terms import JOIN

Item = TypeVar("Item")


@dataclass(frozen=True)
class Plan:
    """What the studies ask for.

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
        return tuple(c for c in self.cells if (c.model, c.corpus) == (model, corpus))

    def masks_of(self, model: str) -> tuple[MaskKey, ...]:
        return tuple(m for m in self.masks if m.model == model)


def plan(sweep: Sweep, added: Mapping[str, Sequence[Cell]] = MappingProxyType({})) -> Plan:
    """Expand every study of `sweep`; `added` are cells of later rounds of a search, by study."""
    studies = {
        name: tuple(_once((*_cells(sweep, study), *added.get(name, ())))) for name, study in sweep.studies.items()
    }
    for model in sweep.models:
        if model.model in MODELS:
            refuse_on_experts(studies, model.name, MODELS[model.model].experts)
    selected = {name: tuple(_once(_masks(sweep, study, studies[name]))) for name, study in sweep.studies.items()}
    order = {at: i for i, at in enumerate(product((m.name for m in sweep.models), (c.name for c in sweep.corpora)))}
    # The baseline leads its group: every effect is a difference from it.
    cells = sorted(
        _once(cell for study in studies.values() for cell in study),
        key=lambda c: (order[c.model, c.corpus], c.mask is not None),
    )
    needed = (mask for cell in cells for mask in cell.masks)
    masks = _once((*needed, *(mask for study in selected.values() for mask in study)))
    return Plan(studies, selected, tuple(cells), tuple(masks))


@dataclass(frozen=True)
class MaskFamily:
    """Masks that differ in their emotion alone: what a union, a mixture or a pair is made of.

    Attributes:
        key: a mask of the family.
        emotions: of the identification corpus.
    """

    key: MaskKey
    emotions: tuple[str, ...]

    @property
    def singles(self) -> tuple[MaskKey, ...]:
        """One mask per emotion; for RND the one that serves for all of them."""
        if self.key.selector == RND:
            return (self.key,)
        return tuple(self.key.with_emotions(emotion) for emotion in self.emotions)

    @property
    def union(self) -> MaskKey:
        """Of all emotions."""
        return self.key.with_emotions(*self.emotions)

    @property
    def pairs(self) -> tuple[MaskKey, ...]:
        """Unions of two; for RND one pair, since all are alike."""
        pairs = tuple(self.key.with_emotions(*two) for two in combinations(self.emotions, 2))
        return pairs[:1] if self.key.selector == RND else pairs


def _cells(sweep: Sweep, study: StudySpec) -> Iterator[Cell]:
    if not study.interventions:
        return
    for model, corpus in _model_corpus_pairs(sweep, study):
        yield Cell(model, corpus)
        for family in _families(sweep, study, model, corpus):
            one, several = _by_number_of_masks(study.interventions)
            for mask, intervention in product(family.singles, one):
                yield from _cells_of_mask(model, corpus, mask, intervention)
            for intervention in several:
                for mask in family.pairs if intervention.entry.masks == "pair" else (family.union,):
                    yield from _cells_of_mask(model, corpus, mask, intervention)


def _by_number_of_masks(
    interventions: Iterable[InterventionSpec],
) -> tuple[list[InterventionSpec], list[InterventionSpec]]:
    """Interventions whose cells need the mask of one emotion, and those in which several emotions' masks act."""
    given = list(interventions)
    return [i for i in given if i.entry.masks == "one"], [i for i in given if i.entry.masks != "one"]


def _cells_of_mask(model: str, corpus: str, mask: MaskKey, intervention: InterventionSpec) -> Iterator[Cell]:
    name = intervention.entry.cell_type
    provider = INTERVENTIONS.provider(name)
    identity = provider.identity if provider else ""
    for alpha, parameters in product(intervention.gains, intervention.parameters):
        yield Cell(model, corpus, mask, alpha, name, parameters, identity)


def _masks(sweep: Sweep, study: StudySpec, cells: Iterable[Cell]) -> Iterator[MaskKey]:
    if study.interventions:
        yield from (mask for cell in cells for mask in cell.masks)
        return
    for model, corpus in _model_corpus_pairs(sweep, study):
        for family in _families(sweep, study, model, corpus):
            yield from family.singles


def _model_corpus_pairs(sweep: Sweep, study: StudySpec) -> Iterator[tuple[str, str]]:
    """Each model on each evaluation corpus of the study."""
    models = study.models or tuple(m.name for m in sweep.models)
    yield from product(models, study.corpora or tuple(c.name for c in sweep.corpora))


def _families(sweep: Sweep, study: StudySpec, model: str, corpus: str) -> Iterator[MaskFamily]:
    corpora = {c.name: c for c in sweep.corpora}
    sources = [[corpora[name] for name in source.split(JOIN)] for source in study.sources or (corpus,)]
    for fraction, selector in product(study.first_fractions, study.selectors):
        seeds = range(study.seeds) if is_random(selector) else (-1,)
        for seed, source in product(seeds, sources):
            if selector == RND:
                yield MaskFamily(MaskKey(model, selector, fraction, seed=seed), _shared_emotions(source))
                continue
            own = source[0].identification
            # Pooled corpora give as many utterances each as the poorest of them has, unless the study says how many.
            for size, parts in product(
                study.sizes or (own.size if len(source) == 1 else "auto",), study.parts or (own.parts,)
            ):
                names = JOIN.join(c.name for c in source)
                key = MaskKey(model, selector, fraction, names, "", seed, size, parts, selector_provider(selector))
                yield MaskFamily(key, _shared_emotions(source))
    yield from _file_families(study, model)


def _file_families(study: StudySpec, model: str) -> Iterator[MaskFamily]:
    """Masks of files are as they are: of the study's axes only models, corpora and interventions vary them."""
    for file in study.mask_files:
        for family in file.families:
            key = MaskKey(model, FILE, family.fraction, file.label, seed=family.seed)
            yield MaskFamily(key, family.emotions)


def _shared_emotions(corpora: list[CorpusSpec]) -> tuple[str, ...]:
    return tuple(e for e in corpora[0].emotions if all(e in c.emotions for c in corpora))


def _once(items: Iterable[Item]) -> Iterator[Item]:
    yield from dict.fromkeys(items)

"""The overview: how much was measured, what is missing, and what must be known to read the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import xarray as xr

from esn_dist.report.document import Block, Bullets, Card, Cards, Section
from esn_dist.report.numbers import percent_text
from esn_dist.report.results import Results
from esn_dist.report.sections.exclusions import excluded_utterances
from esn_dist.report.sections.failures import failed_units
from esn_dist.report.sections.pairs import without_single_emotions
from esn_dist.report.speakers import unverified_speakers
from esn_dist.report.titles import identification_title, masks_title
from esn_dist.sweep.interventions import derived_types
from esn_dist.terms import JOIN

UNANSWERED = "pairs without an answer in the cell or in the baseline are left out of every effect, and counted"


def overview_section(results: Results) -> Section:
    """Cards with the sizes, then notes."""
    notes = (*_small_masks(results.masks), *_few_utterances(results.masks), *without_single_emotions(results))
    if any(row.missing_pairs for row in results.rows):
        notes += (UNANSWERED,)
    notes += tuple(unverified_speakers(results.speakers))
    blocks: tuple[Block, ...] = (Cards(tuple(_cards(results))), *((Bullets(notes),) if notes else ()))
    return Section("overview", "Overview", blocks)


def _cards(results: Results) -> Iterator[Card]:
    models, corpora = results.description.models, results.description.corpora
    answers = sum(map(_answered, results.answers.values()))
    rates = [row.invalid_rate for row in results.rows if row.invalid_rate is not None]
    treated = "counted as wrong" if results.settings.effects.invalid_is_wrong else "left out"
    missing = sum(row.missing_pairs for row in results.rows if row.corpus in corpora)
    failed = len(failed_units(results.folder))
    yield Card(str(len(models)), f"models: {', '.join(models)}")
    yield Card(str(len(corpora)), f"corpora: {', '.join(corpora)}")
    yield Card(f"{answers:,}", "answers in finished cells")
    yield Card(percent_text(max(rates, default=0.0)), f"invalid answers in the worst condition, {treated}")
    yield Card(f"{missing:,}", "pairs left out, without an answer", missing > 0)
    yield Card(str(failed), "failed units", failed > 0)
    yield Card(f"{len(excluded_utterances(results)):,}", "utterances excluded by the scan")


def _answered(answers: xr.Dataset) -> int:
    """Answers of a model; 2-Pass and other derived types have none of their own."""
    return int((~answers["intervention"].isin(list(derived_types()))).sum()) * answers.sizes["utterance"]


def _small_masks(masks: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Masks with fewer neurons than their budget."""
    sizes: dict[str, list[str]] = {}
    for mask in _mask_facts(masks):
        if JOIN in mask.emotion:
            # Overlaps make a union smaller than the sum of its masks, which have notes of their own.
            count = mask.emotion.count(JOIN) + 1
            note = f"{mask.title}: unions of {count} masks have, of {mask.budget} neurons without overlap"
            sizes.setdefault(note, []).append(str(mask.size))
        elif mask.size < mask.budget:
            how = identification_title(mask.requested, mask.parts)
            note = f"{mask.title}{how}: fewer neurons are eligible than the budget of {mask.budget}"
            sizes.setdefault(note, []).append(f"{mask.emotion} {mask.size}")
    yield from (f"{note}: {', '.join(of_masks)}" for note, of_masks in sizes.items())


def _few_utterances(masks: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Masks that were identified with fewer utterances than a study requested."""
    used = {
        f"{mask.title}: {mask.requested} utterances per emotion were requested": mask.identified
        for mask in _mask_facts(masks)
        if mask.identified < mask.requested
    }
    yield from (f"{note}, {count} exist" for note, count in used.items())


class _MaskFacts(NamedTuple):
    """What notes tell of a mask; `requested` and `identified` are utterances per emotion."""

    title: str
    emotion: str
    size: int
    budget: int
    requested: int
    identified: int
    parts: str


def _mask_facts(masks: Mapping[str, xr.Dataset]) -> Iterator[_MaskFacts]:
    """Of every mask of every model; its neurons are not read."""
    names = (
        "selector",
        "source_corpus",
        "source_emotion",
        "size",
        "budget",
        "identification_size",
        "identified",
        "parts",
    )
    for model, of_model in masks.items():
        columns = (of_model[name].values.tolist() for name in names)
        for selector, corpus, emotion, size, budget, requested, identified, parts in zip(*columns, strict=True):
            title = f"{model}, {selector}{masks_title(corpus)}"
            yield _MaskFacts(title, emotion, int(size), int(budget), int(requested), int(identified), parts)

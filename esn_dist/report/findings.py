"""Everything that a report shows, computed once from a store; what is written from it knows no store.

Cells that are not finished are left out and counted; a corpus without a finished baseline gives no effects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import xarray as xr

from esn_dist.analysis.bootstrap import BOOTSTRAP_DRAWS
from esn_dist.analysis.frames import effects_dataset
from esn_dist.analysis.identification import pool
from esn_dist.analysis.locality import Related, layer_distribution, overlap, related
from esn_dist.analysis.measure import EffectSettings, measure
from esn_dist.analysis.movement import moves
from esn_dist.analysis.position import position_bias
from esn_dist.analysis.significance import Verdict, significance
from esn_dist.analysis.stability import mask_stability
from esn_dist.analysis.summary import BaselineRow, EffectRow, baseline_rows, effect_rows
from esn_dist.analysis.trials import Condition, read_trials
from esn_dist.analysis.two_pass import with_two_pass
from esn_dist.errors import UserError
from esn_dist.report.agnostic import AgnosticTable, agnostic_tables
from esn_dist.report.pairs import PairMatrix, pair_matrices
from esn_dist.report.published import Comparison, Pool, comparisons
from esn_dist.report.searches import Search, searches
from esn_dist.report.speakers import unpromised
from esn_dist.report.tables import identification_title
from esn_dist.selection.identification_sets import NothingIdentified
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import Description, describe, open_answers, open_masks, read_exclusions
from esn_dist.store.run_log import RunLog
from esn_dist.store.speakers import Speakers, read_speakers
from esn_dist.sweep.selectors import SELECTORS
from esn_dist.terms import JOIN

Place = tuple[str, str]  # model, corpus
READING = ("draws", "seed", "by_speaker", "invalid_is_wrong")  # settings of every effect


@dataclass(frozen=True, slots=True)
class Settings:
    """Of effects, as in `analysis.summary.summarise`; `stability`: bootstrapped identification sets, 0: none."""

    draws: int = BOOTSTRAP_DRAWS
    seed: int = 0
    by_speaker: bool = False
    invalid_is_wrong: bool = True
    stability: int = 0


class SetAsideRow(NamedTuple):
    """One utterance that the scan left out, with its reason."""

    corpus: str
    utterance: str
    label: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a store says. Datasets are in memory, except `answers`.

    Attributes:
        answers, frames, positions: per model and corpus: the finished cells; their effects; option-position counts.
        moves: per model and corpus: where answers go, by condition.
        layers, related: per model: neurons per layer of every mask, and pairs of masks that differ in one thing.
        agnostic: the paper's Table 2.
        pairs: interaction of two emotions' masks; searches: what adaptive studies found.
        speakers: of each corpus: whether those of evaluation and identification are apart.
        unfinished: per model and corpus: cells left out.
        failures: unit → reason; provenance: one mapping per run.
    """

    title: str
    folder: StoreFolder
    description: Description
    settings: Settings
    rows: list[EffectRow]
    baselines: list[BaselineRow]
    verdicts: list[Verdict]
    comparisons: list[Comparison]
    agnostic: list[AgnosticTable]
    answers: dict[Place, xr.Dataset]
    frames: dict[Place, xr.Dataset]
    positions: dict[Place, xr.Dataset]
    moves: dict[Place, list[tuple[Condition, xr.DataArray]]]
    pairs: list[PairMatrix]
    searches: list[Search]
    layers: dict[str, xr.DataArray]
    related: dict[str, list[Related]]
    pools: list[Pool]
    stability: list[xr.Dataset]
    set_aside: list[SetAsideRow]
    speakers: list[Speakers]
    unfinished: dict[Place, int]
    failures: dict[str, str]
    provenance: list[dict[str, Any]]
    notes: list[str]


def collect(folder: StoreFolder, settings: Settings | None = None) -> Findings:
    """Read and compute all of it.

    Raises:
        UserError: no store, or no finished baseline.
    """
    settings = settings or Settings()
    description = describe(folder)
    answers, unfinished = finished(folder)
    datasets = list(answers.values())
    reading = {name: getattr(settings, name) for name in READING}
    measured = {place: measure(dataset, EffectSettings(**reading)) for place, dataset in answers.items()}
    rows, base = effect_rows(list(measured.values())), baseline_rows(measured.values())
    registered = {name: str(facts.get("model", name)) for name, facts in description.models.items()}
    emotions = {name: facts["emotions"] for name, facts in description.corpora.items()}
    masks = {model: open_masks(folder, model) for model in description.models}
    pools = list(_pools(folder, description, masks))
    pairs, without_singles = pair_matrices(answers, **reading)
    speakers = [read_speakers(folder, corpus) for corpus in description.corpora]
    provenance = _provenance(folder)
    return Findings(
        title=str(description.attributes.get("sweep", folder.root.name)),
        folder=folder,
        description=description,
        settings=settings,
        rows=rows,
        baselines=base,
        verdicts=significance(datasets, seed=settings.seed, invalid_is_wrong=settings.invalid_is_wrong),
        comparisons=comparisons(rows, base, registered, emotions, pools),
        agnostic=agnostic_tables(rows, base, registered, emotions),
        answers=answers,
        frames={place: effects_dataset(of_place) for place, of_place in measured.items()},
        positions={place: position_bias(dataset) for place, dataset in answers.items()},
        moves={place: _moves(dataset) for place, dataset in answers.items()},
        pairs=pairs,
        searches=searches(answers, [str(run.get("sweep", "")) for run in provenance], rows),
        layers={model: layer_distribution(of_model) for model, of_model in masks.items()},
        related={model: list(related(overlap(of_model))) for model, of_model in masks.items()},
        pools=pools,
        stability=list(stabilities(folder, description, masks, settings)),
        set_aside=list(_set_aside(folder, description)),
        speakers=speakers,
        unfinished=unfinished,
        failures=_failures(folder),
        provenance=provenance,
        notes=[*_notes(masks, rows), *without_singles, *unpromised(speakers)],
    )


def finished(folder: StoreFolder) -> tuple[dict[Place, xr.Dataset], dict[Place, int]]:
    """The finished cells of every model and corpus that has a finished baseline, and how many cells are left out.

    2-Pass, which the steering cells imply, comes with them as cells of its own.

    Raises:
        UserError: no store, or no finished baseline.
    """
    found, unfinished = {}, {}
    for model, facts in describe(folder).models.items():
        for corpus in facts["answers"]:
            answers = open_answers(folder, model, corpus, complete=True).load()
            left = open_answers(folder, model, corpus).sizes["cell"] - answers.sizes["cell"]
            if left:
                unfinished[model, corpus] = left
            if "baseline" in answers["intervention"].values:
                found[model, corpus] = with_two_pass(answers)
    if not found:
        raise UserError(
            "no baseline is finished yet, so there is nothing to compare with",
            where=str(folder.root), fix=f"esn-dist status {folder.root}",
        )  # fmt: skip
    return found, unfinished


def _moves(answers: xr.Dataset) -> list[tuple[Condition, xr.DataArray]]:
    trials = read_trials(answers)
    return [(group.condition, moves(trials, group)) for group in trials.groups]


def _pools(folder: StoreFolder, description: Description, masks: Mapping[str, xr.Dataset]) -> Iterator[Pool]:
    """`used`: by the largest of the masks; where nothing was selected, what could be used."""
    for model, corpus in _counted(description):
        own = masks[model]["identified"].values[masks[model]["source_corpus"].values == corpus]
        try:
            chosen = pool(folder, model, corpus).chosen
        except NothingIdentified:
            continue  # its masks are failed units, which are shown
        for emotion, correct in zip(chosen.emotions, chosen.available, strict=True):
            yield Pool(model, corpus, emotion, correct, int(own.max()) if len(own) else chosen.size)


def stabilities(
    folder: StoreFolder, description: Description, masks: Mapping[str, xr.Dataset], settings: Settings
) -> Iterator[xr.Dataset]:
    """One dataset per way of identifying that the masks of a model have: corpora, size, parts, fraction."""
    for model in description.models if settings.stability else ():
        of_model = masks[model]
        names = ("source_corpus", "identification_size", "parts", "fraction")
        ways = list(zip(*(of_model[name].values.tolist() for name in names), strict=True))
        for way in dict.fromkeys(way for way in ways if way[0]):
            corpus, size, parts, fraction = way
            own = of_model["selector"].values[[other == way for other in ways]]
            selectors = [name for name in SELECTORS if name in own]
            if selectors and all(name in description.models[model]["counts"] for name in corpus.split(JOIN)):
                chosen = pool(folder, model, corpus, size=size or "auto", parts=parts.split(JOIN))
                yield mask_stability(chosen, selectors, f"{fraction:.10g}", settings.seed, draws=settings.stability)


def _counted(description: Description) -> Iterator[Place]:
    return ((model, corpus) for model, facts in description.models.items() for corpus in facts["counts"])


def _set_aside(folder: StoreFolder, description: Description) -> Iterator[SetAsideRow]:
    for corpus in description.corpora:
        table = read_exclusions(folder, corpus)
        for position in range(len(table)):
            if table.id[position]:
                yield SetAsideRow(corpus, *table.row(position))


def _failures(folder: StoreFolder) -> dict[str, str]:
    states = RunLog(folder).states().items()
    return {f"{model} {unit}": reason for model, state in states for unit, reason in state.failed.items()}


def _provenance(folder: StoreFolder) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.provenance.glob("*.json"))]


def _notes(masks: Mapping[str, xr.Dataset], rows: list[EffectRow]) -> Iterator[str]:
    """What must be known to read the numbers."""
    for model, of_model in masks.items():
        smaller: dict[str, list[str]] = {}
        fewer: dict[str, int] = {}
        for row in range(of_model.sizes["mask"]):
            mask = of_model.isel(mask=row)
            size, budget, used, asked = (int(mask[n]) for n in ("size", "budget", "identified", "identification_size"))
            emotion, corpus = str(mask["source_emotion"].item()), str(mask["source_corpus"].item())
            whose = f"{model}, {mask['selector'].item()}" + (f", masks from {corpus}" if corpus else "")
            if JOIN in emotion:
                # Overlaps make a union smaller, not a lack of neurons; its parts say for themselves where they lack.
                whole = f"{whose}: unions of {emotion.count(JOIN) + 1} masks have, of {budget} neurons without overlap"
                smaller.setdefault(whole, []).append(str(size))
            elif size < budget:
                what = f"{whose}{identification_title(asked, str(mask['parts'].item()))}"
                lack = f"{what}: fewer neurons are eligible than the budget of {budget}"
                smaller.setdefault(lack, []).append(f"{emotion} {size}")
            if used < asked:
                fewer[f"{whose}: {asked} utterances per emotion were asked for"] = used
        yield from (f"{what}: {', '.join(found)}" for what, found in smaller.items())
        yield from (f"{whose}, {used} are there" for whose, used in fewer.items())
    if any(row.missing for row in rows):
        yield "pairs without an answer in the cell or in the baseline are left out of every effect, and counted"

"""Where the numbers come from: settings of the report, models, corpora, and every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esn_dist.report.document import Block, Bullets, Section, table
from esn_dist.report.numbers import DASH
from esn_dist.report.results import Results
from esn_dist.sweep.selectors import SELECTORS

RUN_FACTS = ("started", "finished", "ended", "host", "git", "command")


def provenance_section(results: Results) -> Section:
    """A list, then every stored fact of runs, models and corpora."""
    runs = [(f"Run started {run.get('started', DASH)}", run) for run in results.provenance]
    models = [(f"Model {name}", facts) for name, facts in results.description.models.items()]
    corpora = [(f"Corpus {name}", facts) for name, facts in results.description.corpora.items()]
    blocks: list[Block] = [Bullets(_summary(results))]
    blocks += [_facts(title, facts) for title, facts in (*runs, *models, *corpora)]
    return Section("provenance", "Provenance", tuple(blocks))


def _summary(results: Results) -> tuple[str, ...]:
    settings = results.settings.effects
    drawn = "speakers" if settings.by_speaker else "utterances"
    invalid = "counted as wrong" if settings.invalid_is_wrong else "left out"
    lines = [
        f"Intervals: {settings.draws:,} bootstrap draws over {drawn}, seed {settings.seed}",
        f"Answers that name no option: {invalid}",
    ]
    lines += [f"{name}: weights {facts.get('weights', DASH)}" for name, facts in results.description.models.items()]
    used = {str(name) for masks in results.masks.values() for name in masks["selector"].values}
    lines += [f"{name}: {SELECTORS[name].formula}" for name in SELECTORS if name in used]
    for run in results.provenance:
        lines.append("Run: " + ", ".join(f"{name} {run[name]}" for name in RUN_FACTS if run.get(name)))
    return tuple(lines)


def _facts(title: str, facts: Mapping[str, Any]) -> Block:
    lines = [[name, plain_text(value)] for name, value in facts.items()]
    return table(("Fact", "Value"), (), lines, title, detail=True)


def plain_text(value: object) -> str:
    """An attribute as a reader writes it: `anger, joy`, or `cap 30, splits train`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain_text(of)}" for name, of in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain_text, value)) or "none"
    return "none" if value is None else str(value)

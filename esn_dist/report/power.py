"""How many utterances an effect needs, as rows and as text; with a store, from how much its own cells flip.

The share of flipped answers in a pilot decides the number as much as the effect does. The paper does not print it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from esn_dist.analysis.effects import POINTS
from esn_dist.analysis.mcnemar import Flips, flips
from esn_dist.analysis.power import utterances_needed
from esn_dist.analysis.trials import Group, Trials, read_trials
from esn_dist.errors import UserError
from esn_dist.report.numbers import percent_text
from esn_dist.report.results import finished_answers
from esn_dist.report.titles import condition_title, place_title
from esn_dist.store.folder import StoreFolder


def power_rows(
    effect: float, flipped: float | None, store: Path | None, *, target: float, level: float
) -> list[dict[str, Any]]:
    """One row per share of flipped answers: the given one, or those of a store's conditions.

    Raises:
        UserError: neither or both of `flipped` and `store`; a store without finished cells; impossible numbers.
    """
    if (flipped is None) == (store is None):
        raise UserError("the share of flipped answers is missing", expected="either --flipped SHARE or --store FOLDER")
    shares = [("", flipped)] if flipped is not None else _flip_shares(store)  # type: ignore[arg-type]
    return [
        {
            "condition": name,
            "flipped": share,
            "utterances": _utterances_needed(effect, share, target=target, level=level),
        }
        for name, share in shares
    ]


def power_text(rows: Sequence[dict[str, Any]], effect: float, target: float, level: float, tests: int) -> str:
    """The rows for a person."""
    family = f", one of {tests} tests (Bonferroni)" if tests > 1 else ""
    lines = [
        f"to detect {effect:+g} points with a power of {100 * target:g} % at p ≤ {level:g}{family}, exact McNemar:"
    ]
    for row in rows:
        where = f"{row['condition']}: " if row["condition"] else ""
        flipped = f"where {percent_text(row['flipped'])} of the answers flip"
        impossible = "cannot be: fewer answers flip than the effect alone would"
        needed = impossible if row["utterances"] is None else f"{row['utterances']:,} utterances"
        lines.append(f"  {where}{flipped}: {needed}")
    return "\n".join([*lines, "count one emotion's utterances for a self-effect, all utterances for a cell"])


def _utterances_needed(effect: float, share: float, *, target: float, level: float) -> int | None:
    possible = abs(effect) / POINTS <= share
    return utterances_needed(effect, share, target=target, level=level) if possible else None


def _flip_shares(store: Path) -> list[tuple[str, float]]:
    """Per condition, the share of flipped answers on the source emotions' own utterances (RND: on all)."""
    shares = []
    for (model, corpus), answers in finished_answers(StoreFolder(store))[0].items():
        trials = read_trials(answers)
        place = place_title(model, corpus)
        shares += [(f"{place}, {condition_title(g.condition)}", _flip_share(trials, g)) for g in trials.groups]
    return [(name, share) for name, share in shares if share]


def _flip_share(trials: Trials, group: Group) -> float:
    pairs = [_flips(trials, source, cell) for source, cell in zip(group.sources, group.cells, strict=True)]
    total = sum(pair.pairs for pair in pairs)
    return sum(pair.right_to_wrong + pair.wrong_to_right for pair in pairs) / total if total else 0.0


def _flips(trials: Trials, source: str, cell: int) -> Flips:
    among = trials.label == trials.emotions.index(source) if source in trials.emotions else None
    return flips(trials, cell, among)

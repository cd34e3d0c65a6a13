"""What the page shows, as plain values for JSON: maps, curves, layers, and per utterance what was said in each cell.

Answers are packed (codes and positions in a list of distinct texts), so that a page holds a sweep's answers at once;
beyond `MOST_ANSWERS` it holds the first utterances of each emotion and says so. Knows no markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.significance import ENTRY, GAP
from esn_dist.analysis.summary import ALL
from esn_dist.analysis.trials import emotions_of
from esn_dist.report.csv_tables import Row
from esn_dist.report.dose_response import axes, conditions, curve, describe
from esn_dist.report.findings import READING, Findings
from esn_dist.report.published import inconsistencies
from esn_dist.report.speakers import speaker_line
from esn_dist.report.tables import ALL_PARTS, condition_title, effect_tables, identification_title
from esn_dist.store.read import read_texts
from esn_dist.sweep.interventions import TWO_PASS
from esn_dist.sweep.selectors import RND

MOST_ANSWERS = 400_000
PLAIN = ("baselines", "searches", "published", "overlap", "stability", "pools", "set_aside", "failures", "moves")


def payload(findings: Findings, rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Everything, without NaN: undefined is None.

    Args:
        rows: of `flat.flat`.
    """
    runs = [{key: str(value) for key, value in run.items()} for run in findings.provenance]
    return {
        "title": findings.title,
        "settings": {name: getattr(findings.settings, name) for name in READING},
        "models": {m: {k: _plain(v) for k, v in facts.items()} for m, facts in findings.description.models.items()},
        "corpora": {c: {k: _plain(v) for k, v in facts.items()} for c, facts in findings.description.corpora.items()},
        "all_parts": ALL_PARTS,
        "tables": list(_tables(findings)),
        "agnostic": list(_agnostic(findings)),
        "gaps": [
            {**row, "title": condition_title(v.condition)}
            for v, row in zip(findings.verdicts, rows["tests"], strict=True)
            if v.question == GAP
        ],
        **{name: rows[name] for name in PLAIN},
        "inconsistencies": [{k: e[k] for k in ("id", "severity", "where", "explanation")} for e in inconsistencies()],
        "maps": list(_maps(findings)),
        "curves": list(_curves(findings)),
        "pairs": list(_pairs(findings)),
        "layers": list(_layers(findings)),
        "positions": [row for row in rows["option_positions"] if row["intervention"] == "baseline"],
        "unfinished": [{"model": m, "corpus": c, "cells": n} for (m, c), n in findings.unfinished.items()],
        "notes": findings.notes,
        "speakers": [speaker_line(found) for found in findings.speakers],
        "runs": runs,
        "utterances": list(_utterances(findings)),
    }


def _plain(value: object) -> str:
    """An attribute as a reader writes it: `anger, joy`, or `cap 30, splits train`."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(of)}" for name, of in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    return "none" if value is None else str(value)


def _tables(findings: Findings) -> Iterator[Row]:
    for table in effect_tables(findings.rows):
        for half in table.halves:
            lines = {name: [list(value) for value in values] for name, values in half.effects.items()}
            yield {
                "model": table.model,
                "corpus": "all corpora (macro mean)" if table.corpus == ALL else table.corpus,
                "fraction": table.fraction,
                "masks": table.transfer_from,
                "identified": identification_title(table.identification_size, table.parts),
                "title": half.title,
                "selectors": list(half.selectors),
                "lines": lines,
                "seeds_sd": [row.seeds_sd for row in half.columns],
                "invalid": [row.invalid_rate for row in half.columns],
                "missing": [row.missing_pairs for row in half.columns],
            }


def _agnostic(findings: Findings) -> Iterator[Row]:
    """Table 2: of each line the accuracies by column, [point, low, high] or as printed."""
    for table in findings.agnostic:
        lines = []
        for line in table.lines:
            values = [line.unmasked, *(line.values.get(column) for column in table.columns)]
            cells = [list(value) if isinstance(value, Estimate) else value for value in values]
            lines.append(
                {
                    "corpus": line.corpus,
                    "model": line.model,
                    "masks": line.masks,
                    "cells": cells,
                    "invalid": line.invalid,
                }
            )
        gains = [{"alpha": alpha, "heads": heads} for alpha, heads in table.gains.items()]
        yield {"title": table.title, "gains": gains, "lines": lines}


def _maps(findings: Findings) -> Iterator[Row]:
    """One heat map per condition, with the McNemar test of each entry."""
    tests: dict[tuple[object, ...], dict[str, Any]] = {}
    for v in findings.verdicts:
        if v.question == ENTRY:
            key = (v.model, v.corpus, v.condition, v.source, v.evaluation)
            tests.setdefault(key, {"lost": v.lost, "gained": v.gained, "p": v.p, "holm": v.holm})
    for (model, corpus), frame in findings.frames.items():
        groups = [condition for condition, _ in findings.moves[model, corpus]]
        for at, condition in enumerate(groups):
            one = frame.isel(condition=at)
            one = one.isel(source=np.isfinite(one["change"].values).any(axis=1))
            sources, evaluations = (list(map(str, one[name].values)) for name in ("source", "evaluation"))
            random, no_source = condition.selector == RND, sources == ["none"]
            yield {
                "model": model,
                "corpus": corpus,
                "title": describe(conditions(frame)[at]),
                "selector": condition.selector,
                "sources": ["all seeds" if random else "all emotions"] if no_source else sources,
                "evaluations": evaluations,
                "change": _numbers(one["change"].values),
                "margin": _numbers(one["margin"].values),
                "tests": [
                    [None if no_source else tests.get((model, corpus, condition, s, e)) for e in evaluations]
                    for s in sources
                ],
            }


def _curves(findings: Findings) -> Iterator[Row]:
    for (model, corpus), frame in findings.frames.items():
        for axis in axes(frame):
            found = {name: curve(frame, axis, name) for name in ("self_effect", "cross_effect", "gap")}
            lines = {name: _numbers(bounds) for name, (_, bounds) in found.items()}
            head = {"model": model, "corpus": corpus, "axis": axis.name, "title": axis.title}
            yield {**head, "values": found["gap"][0], "lines": lines}


def _pairs(findings: Findings) -> Iterator[Row]:
    """Interaction matrices: [first, second, bound] on the pair's own emotions and on the others."""
    for model, corpus, condition, matrix in findings.pairs:
        yield {
            "title": f"{model} on {corpus}: {condition_title(condition)}",
            "emotions": list(map(str, matrix["first"].values)),
            **{name: _numbers(matrix[name].values) for name in ("own", "others")},
        }


def _layers(findings: Findings) -> Iterator[Row]:
    for model, neurons in findings.layers.items():
        names = ("selector", "source_corpus", "fraction", "identification_size", "parts")
        keys = list(zip(*(neurons[name].values.tolist() for name in names), strict=True))
        for key in dict.fromkeys(keys):
            own = neurons.isel(mask=[at for at, other in enumerate(keys) if other == key])
            emotions = [
                ", ".join(filter(None, (_named(str(e)), f"seed {seed}" if seed >= 0 else "")))
                for e, seed in zip(own["source_emotion"].values, own["mask_seed"].values, strict=True)
            ]
            yield {
                "model": model,
                **dict(zip(names, key, strict=True)),
                "masks": emotions,
                "neurons": own.values.tolist(),
            }


def _named(emotion: str) -> str:
    """Unions of more than two by their number: their names would be wider than a telephone."""
    emotions = emotions_of(emotion)
    return emotion if len(emotions) < 3 else f"union of {len(emotions)}"


def _utterances(findings: Findings) -> Iterator[Row]:
    share = MOST_ANSWERS // len(findings.answers)
    for (model, corpus), answers in findings.answers.items():
        # 2-Pass said nothing of its own: each of its answers is one of a steering cell, where its text stands.
        answers = answers.isel(cell=(answers["intervention"] != TWO_PASS).values)
        kept = _first_of_each(answers, share // max(1, answers.sizes["cell"]))
        shown = answers.isel(utterance=kept)
        texts: dict[str, int] = {}
        said = [_said(findings, model, corpus, str(cell), kept, texts) for cell in answers["cell"].values]
        yield {
            "model": model,
            "corpus": corpus,
            "of": answers.sizes["utterance"],
            "emotions": list(map(str, answers["emotion"].values)),
            "ids": list(map(str, shown["utterance"].values)),
            "speakers": list(map(str, shown["speaker"].values)),
            "labels": list(map(str, shown["label"].values)),
            "numbers": shown["option_number"].values.tolist(),
            "cells": _cells(answers),
            "answer": shown["answer"].values.tolist(),
            "outcome": shown["outcome"].values.tolist(),
            "said": said,
            "texts": list(texts),
        }


def _first_of_each(answers: xr.Dataset, most: int) -> list[int]:
    """Positions of the first utterances of each emotion, `most` at most in all (but one of each)."""
    labels = answers["label"].values
    if len(labels) <= most:
        return list(range(len(labels)))
    emotions = list(dict.fromkeys(labels))
    each = max(1, most // len(emotions))
    return sorted(int(at) for emotion in emotions for at in np.flatnonzero(labels == emotion)[:each])


def _said(findings: Findings, model: str, corpus: str, cell: str, kept: list[int], texts: dict[str, int]) -> list[int]:
    """Position in `texts` of what was said about each kept utterance; new texts are added."""
    read = read_texts(findings.folder, model, corpus, cell)
    found = zip(read["text"].values[kept], read["truncated"].values[kept], strict=True)
    return [texts.setdefault(str(text) + ("…" if cut else ""), len(texts)) for text, cut in found]


def _cells(answers: xr.Dataset) -> list[Row]:
    """Whose cell each is, in words."""
    rows = []
    for cell, condition in enumerate(_conditions(answers)):
        seed = int(answers["mask_seed"].values[cell])
        source = str(answers["source_emotion"].values[cell]) or (f"seed {seed}" if seed >= 0 else "")
        base = condition["intervention"] == "baseline"
        title = "unintervened" if base else describe(condition)
        rows.append({"title": title, "source": source, "baseline": base})
    return rows


def _conditions(answers: xr.Dataset) -> list[dict[str, Any]]:
    names = [
        n for n in ("selector", "intervention", "alpha", "fraction", "source_corpus", "tau") if n in answers.coords
    ]
    names += [name for name in ("identification_size", "parts") if name in answers.coords]
    columns = {name: answers[name].values for name in names}
    found = [{name: column[cell].item() for name, column in columns.items()} for cell in range(answers.sizes["cell"])]
    return [{**c, "tau": float(np.nan_to_num(c.get("tau", 0.0)))} for c in found]


def _numbers(values: np.ndarray) -> Any:
    """Nested lists, rounded to four digits after the point; None where undefined."""
    rounded = np.round(values, 4).astype(object)
    rounded[~np.isfinite(values)] = None
    return rounded.tolist()

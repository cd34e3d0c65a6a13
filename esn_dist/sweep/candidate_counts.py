"""How many candidates a corpus has for identification: from its index where that was read, else from published counts.

Pure: whoever can open a corpus hands in what it found. Says of every number where it comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from esn_dist.sweep.corpus_spec import CorpusSpec, IemocapCorpus


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at a corpus gave.

    Attributes:
        counts: utterances by (split, emotion); None where the corpus is not there or not counted.
        source: where they come from, or why there are none.
    """

    counts: Mapping[tuple[str, str], int] | None
    source: str


@cache
def published() -> dict[str, Any]:
    """Published counts by type of corpus (`published.yaml`)."""
    text = files("esn_dist.sweep").joinpath("published.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def candidates(spec: CorpusSpec, found: Found | None) -> tuple[int | None, str]:
    """Candidates of all emotions at most (None: nobody knows), and where the number comes from."""
    sizes, source = pools(spec, found)
    return None if sizes is None else sum(sizes), source


def pools(spec: CorpusSpec, found: Found | None) -> tuple[tuple[int, ...] | None, str]:
    """Candidates of each emotion at most (None: nobody knows), and where the numbers come from."""
    limit = spec.identification.candidates
    if limit is None and spec.type == "synthetic":
        limit = 2 * spec.identification.cap
    counts, source = _counts(spec, found)
    sizes = None if counts is None else [_pool(spec, counts, emotion) for emotion in spec.emotions]
    if sizes is None or None in sizes:
        if limit is None:
            return None, f"unknown: {source}, and the sweep sets no `candidates`"
        return (limit,) * len(spec.emotions), "as the sweep asks"
    return tuple(size if limit is None else min(size, limit) for size in sizes if size is not None), source


def _counts(spec: CorpusSpec, found: Found | None) -> tuple[Mapping[tuple[str, str], int] | None, str]:
    if found and found.counts is not None:
        return found.counts, found.source
    why = found.source if found else "no corpus was looked at"
    if spec.type not in published():
        return None, why
    known = published()[spec.type]
    counts = {(split, emotion): n for split, of in known["splits"].items() for emotion, n in of.items()}
    if isinstance(spec, IemocapCorpus) and spec.excited_is_joy:
        for split in known["splits"]:
            counts[split, "joy"] += counts[split, "excitement"]
    return counts, f"published counts of {known['what']}: {why}"


def _pool(spec: CorpusSpec, counts: Mapping[tuple[str, str], int], emotion: str) -> int | None:
    """Candidates of one emotion; None where a wanted split is known only together with one that is not wanted."""
    of_emotion = {split: count for (split, label), count in counts.items() if label == emotion}
    wanted, held_out = spec.identification.splits, spec.evaluation.splits
    total = 0
    for split, count in of_emotion.items():
        inside = [part in wanted for part in split.split("+")] if wanted is not None else [True]
        if any(inside) and not all(inside):
            return None
        total += count * all(inside)
    # Where only some of the splits are shared, nobody can say from where the evaluation set will come.
    return max(total - spec.evaluation.per_emotion, 0) if _within(held_out, wanted) else total


def _within(inner: Collection[str] | None, outer: Collection[str] | None) -> bool:
    return outer is None or (inner is not None and set(inner) <= set(outer))

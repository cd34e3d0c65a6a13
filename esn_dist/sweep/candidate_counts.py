"""How many candidates a corpus has for identification: counted in its index, else from published counts.

Pure: the caller passes the counts of a corpus that it has read. Every number comes with its source.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from esn_dist.sweep.corpus_spec import CorpusSpec, IdentificationSpec
from esn_dist.sweep.corpus_types import CORPUS_TYPES

SUM_OF = "+"  # joins splits of which only the sum is known


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Labels counted in the index of a corpus.

    Attributes:
        counts: utterances by (split, emotion); None where the corpus is not there or not counted.
        source: where they come from, or why there are none.
    """

    counts: Mapping[tuple[str, str], int] | None
    source: str


def total_candidates(spec: CorpusSpec, counted: LabelCounts | None) -> tuple[int | None, str]:
    """Upper limit of the candidates of all emotions (None: unknown), and its source."""
    sizes, source = candidates_by_emotion(spec, counted)
    return None if sizes is None else sum(sizes), source


def candidates_by_emotion(spec: CorpusSpec, counted: LabelCounts | None) -> tuple[tuple[int, ...] | None, str]:
    """Upper limit of the candidates of each emotion (None: unknown), and the source of the numbers."""
    limit = spec.identification.candidates
    if CORPUS_TYPES[spec.type].generated:
        limit = generated_candidates(spec.identification)
    counts, source = _counts(spec, counted)
    sizes = None if counts is None else [_pool_size(spec, counts, emotion) for emotion in spec.emotions]
    if sizes is None or None in sizes:
        if limit is None:
            return None, f"unknown: {source}, and the sweep sets no `candidates`"
        return (limit,) * len(spec.emotions), "as the sweep asks"
    return tuple(size if limit is None else min(size, limit) for size in sizes if size is not None), source


def generated_candidates(pool: IdentificationSpec) -> int:
    """Candidates of each emotion that a generated corpus makes: without a limit, twice the cap."""
    return pool.candidates or 2 * pool.cap


def _counts(spec: CorpusSpec, counted: LabelCounts | None) -> tuple[Mapping[tuple[str, str], int] | None, str]:
    if counted and counted.counts is not None:
        return counted.counts, counted.source
    why = counted.source if counted else "the corpus was not read"
    published = CORPUS_TYPES[spec.type].published
    if published is None:
        return None, why
    counts: dict[tuple[str, str], int] = {}
    for split, by_label in published.splits.items():
        for label, count in by_label.items():
            key = split, spec.merged_labels.get(label, label)
            counts[key] = counts.get(key, 0) + count
    return counts, f"published counts of {published.source}: {why}"


def _pool_size(spec: CorpusSpec, counts: Mapping[tuple[str, str], int], emotion: str) -> int | None:
    """Candidates of one emotion; None where a wanted split is known only in a sum with an unwanted one."""
    of_emotion = {split: count for (split, label), count in counts.items() if label == emotion}
    wanted, held_out = spec.identification.splits, spec.evaluation.splits
    total = 0
    for split, count in of_emotion.items():
        inside = [part in wanted for part in split.split(SUM_OF)] if wanted is not None else [True]
        if any(inside) and not all(inside):
            return None
        total += count * all(inside)
    # Where only some of the splits are shared, the evaluation set may come from any of them: nothing is subtracted.
    return max(total - spec.evaluation.per_emotion, 0) if _within(held_out, wanted) else total


def _within(inner: Collection[str] | None, outer: Collection[str] | None) -> bool:
    return outer is None or (inner is not None and set(inner) <= set(outer))

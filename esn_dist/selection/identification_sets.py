"""Which utterances identify each emotion: the first ones of the seeded order that the model answered correctly.

Over several corpora each gives the same number of utterances of each emotion, so that none outweighs the others. Reads
a store's counts; knows no selectors and no masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError
from esn_dist.store.correct_sums import answered_correctly
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import open_counts
from esn_dist.sweep.keys import IdentificationSize


class NothingIdentified(UserError):
    """An emotion has no correctly answered utterance, or none with a counted position: it has no firing statistics."""


@dataclass(frozen=True, slots=True)
class IdentificationSet:
    """Which utterances count towards which emotion: the first `size` correctly answered ones of each.

    Attributes:
        emotions: the corpus's emotions, in its order.
        available: correctly answered utterances of each emotion, before any cap.
        requested: the size that a study gives; None for "auto".
        size: utterances used of every emotion (the same number, so that selectors compare like with like).
        code: int8 code[utterance], position in `emotions`; -1: the utterance does not count.
    """

    emotions: tuple[str, ...]
    available: tuple[int, ...]
    requested: int | None
    size: int
    code: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class CountedUtterances:
    """Every utterance of one corpus with counts, in the store's row order.

    Attributes:
        id, label: of each utterance.
        correct: correct[utterance], whether the unintervened model answered with the label.
    """

    id: tuple[str, ...]
    label: npt.NDArray[np.str_]
    correct: npt.NDArray[np.bool_]


def counted_utterances(folder: StoreFolder, model: str, corpus: str) -> CountedUtterances:
    """The utterances of a corpus that a model has counts of. Raises `UserError` where nothing was counted."""
    counts = open_counts(folder, model, corpus)
    labels = counts.label.values
    correct = answered_correctly(counts.outcome.values, counts.answer.values, labels, counts.emotion.values)
    return CountedUtterances(tuple(map(str, counts.utterance.values)), labels, correct)


def shared_emotions(of_corpora: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The emotions that all corpora have, in the first one's order."""
    first, *others = of_corpora
    return tuple(emotion for emotion in first if all(emotion in other for other in others))


def identification_sets(
    utterances: Sequence[CountedUtterances],
    emotions: Sequence[str],
    size: IdentificationSize,
    caps: Sequence[int | None],
) -> list[IdentificationSet]:
    """The identification set in each of several corpora, all of the size that the poorest corpus can give.

    Args:
        utterances: of each corpus.
        emotions: `shared_emotions` of the corpora.
        size: utterances of each emotion from each corpus; "auto": as many as there are.
        caps: at most so many from each corpus.

    Raises:
        NothingIdentified: an emotion has no utterance in one of the corpora.
    """
    separate_sets = [
        identification_set(corpus.label, corpus.correct, emotions, size=size, cap=cap)
        for corpus, cap in zip(utterances, caps, strict=True)
    ]
    common_size = min(separate.size for separate in separate_sets)
    equal_sets = [identification_set(corpus.label, corpus.correct, emotions, size=common_size) for corpus in utterances]
    # `requested` stays what the caller requested, so that a set that is smaller says so.
    return [replace(equal, requested=separate_sets[0].requested) for equal in equal_sets]


def identification_set(
    labels: Sequence[str] | npt.NDArray[np.str_],
    correct: npt.NDArray[np.bool_],
    emotions: Sequence[str],
    *,
    size: IdentificationSize = "auto",
    cap: int | None = None,
) -> IdentificationSet:
    """The first correctly answered utterances of each emotion, in row order (the seeded order).

    Args:
        labels: the true emotion of each utterance.
        correct: correct[utterance], whether the unintervened model answered with the label.
        emotions: the corpus's emotions, in its order.
        size: utterances of each emotion; "auto" takes what the poorest emotion has. A larger size is shrunk to that.
        cap: at most so many of each emotion.

    Raises:
        NothingIdentified: an emotion has no correctly answered utterance.
    """
    if size != "auto" and size < 1:
        raise UserError(f"identification size {size}", expected="a number from 1, or auto")
    rows = [np.flatnonzero(correct & (np.asarray(labels) == emotion)) for emotion in emotions]
    available = tuple(len(of_emotion) for of_emotion in rows)
    problem = "no correctly answered utterance in the identification set"
    require_some_of_each(emotions, available, problem, "enlarge the identification set")
    limits = [*available, *([] if cap is None else [cap]), *([] if size == "auto" else [size])]
    used = min(limits)
    code = np.full(len(correct), -1, np.int8)
    for emotion, of_emotion in enumerate(rows):
        code[of_emotion[:used]] = emotion
    return IdentificationSet(tuple(emotions), available, None if size == "auto" else size, used, code)


def require_some_of_each(emotions: Sequence[str], counts: Sequence[int], problem: str, fix: str) -> None:
    """Raises `NothingIdentified` where the count of an emotion is 0; `problem` says what there is none of."""
    empty = [emotion for emotion, count in zip(emotions, counts, strict=True) if not count]
    if empty:
        raise NothingIdentified(f"emotion {', '.join(map(repr, empty))} has {problem}", fix=fix)

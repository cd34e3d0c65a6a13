"""One entry per type of corpus: its spec, its loader, its label counter, its published counts.

Knows no file format: each entry is declared next to its loader, and looked up by the `type` of a spec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from esn_dist.corpora.utterance import LoadedCorpus
from esn_dist.errors import UserError
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import CORPUS_TYPES, CorpusType

ProgressCallback = Callable[[int, int], None]
"""Called with (items done, items expected)."""

SplitCounts = Counter[tuple[str, str]]
"""Utterances by (split, emotion)."""

NEEDS_A_SCAN = "its index takes too long for a plan (`esn-dist corpora` counts it)"
SpecT = TypeVar("SpecT", bound=CorpusSpec)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a loader may use besides its spec.

    Attributes:
        cache: the only folder that a loader may write to.
        workers: processes that it may start.
        progress: called while a corpus is generated.
    """

    cache: Path
    workers: int = 1
    progress: ProgressCallback | None = None


@dataclass(frozen=True, kw_only=True)
class CorpusLoader(CorpusType, Generic[SpecT]):
    """A type of corpus: what a plan needs, and the functions that read it.

    Attributes:
        load: the utterances of a spec. Opens no audio file; raises UserError for what the user can fix.
        count_labels: utterances by (split, emotion), fast enough for a plan; None for the reason in `no_count_reason`.
        no_count_reason: why a plan does not count; shown to the user.
        index_file: the table that `count_labels` reads; a plan does not count a large one.
    """

    spec: type[SpecT]
    load: Callable[[SpecT, LoadOptions], LoadedCorpus]
    count_labels: Callable[[SpecT], SplitCounts] | None = None
    no_count_reason: str = ""
    index_file: Callable[[SpecT], Path] | None = None

    def __post_init__(self) -> None:
        if (self.count_labels is None) != bool(self.no_count_reason):
            raise ValueError(f"{self.spec.__name__}: give either `count_labels` or the reason in `no_count_reason`")


def loader_of(spec: CorpusSpec) -> CorpusLoader[Any]:
    """The entry of the type of `spec`.

    Raises:
        UserError: another package registered something else under this name.
    """
    entry = CORPUS_TYPES[spec.type]
    if not isinstance(entry, CorpusLoader):
        raise UserError(
            f"the corpus type {spec.type!r} is a {type(entry).__name__}",
            expected="an esn_dist.corpora.loader.CorpusLoader",
            fix="correct the entry point in the package that provides it",
        )
    return entry


def load_corpus(
    spec: CorpusSpec, cache: Path, *, workers: int = 1, progress: ProgressCallback | None = None
) -> LoadedCorpus:
    """The utterances of `spec`. Only `cache` is written to: generated speech, and audio unpacked from Parquet.

    Raises:
        UserError: the corpus is not there, or does not have the form that the spec says.
    """
    loaded: LoadedCorpus = loader_of(spec).load(spec, LoadOptions(cache, workers, progress))
    return loaded


def count_by_split(corpus: LoadedCorpus) -> SplitCounts:
    """Utterances of the studied emotions by (split, emotion)."""
    return Counter((utterance.split, utterance.emotion) for utterance in corpus.utterances)

"""How much the cells and masks of a sweep are: answers, candidates, clips and bytes, given the sizes of the sets.

An unknown number is None, never 0. Knows no speeds and reads no corpus.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, prod

from esn_dist.sweep.candidate_counts import LabelCounts, candidates_by_emotion
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.cost import Work
from esn_dist.sweep.keys import Cell, MaskKey
from esn_dist.sweep.model_catalog import MODELS
from esn_dist.sweep.spec import Sweep
from esn_dist.terms import PARTS, SHARD_ROWS

LOGPROB_BYTES, TEXT_BYTES, CODE_BYTES = 4, 160, 3
"""Bytes of one answer: the log-probability of each emotion, its text, and answer + outcome + flag."""
COUNT_BYTES, SUM_BYTES = 2, 4
"""Bytes of one gate's count per utterance and part, and of its sum per shard and part."""

ModelCorpus = tuple[str, str]
"""A model, and a corpus that it answers or is identified on."""


@dataclass(frozen=True, slots=True)
class CorpusForecast:
    """The sizes of one corpus's sets.

    Attributes:
        evaluation: utterances of the evaluation set.
        candidates: upper limit of the identification set; None: unknown.
        source: where the number of candidates comes from.
        shards: upper limit of the shards of counts that they fill, each of one emotion.
    """

    name: str
    evaluation: int
    candidates: int | None
    source: str
    shards: int | None


def corpus_forecast(spec: CorpusSpec, counted: LabelCounts | None) -> CorpusForecast:
    """The sizes that the spec requests and the corpus has."""
    sizes, source = candidates_by_emotion(spec, counted)
    size, shards = (None, None) if sizes is None else (sum(sizes), sum(ceil(n / SHARD_ROWS) for n in sizes))
    return CorpusForecast(spec.name, spec.evaluation.per_emotion * len(spec.emotions), size, source, shards)


@dataclass(frozen=True, slots=True)
class WorkAmounts:
    """Amounts of work and of bytes.

    Attributes:
        corpora: by name.
        shapes: layers and width of models that are not registered, by name.
    """

    sweep: Sweep
    corpora: dict[str, CorpusForecast]
    shapes: dict[str, tuple[int, int]]

    def answers(self, cells: Iterable[Cell]) -> int:
        """Answers of these cells."""
        return sum(self.corpora[cell.corpus].evaluation for cell in cells)

    def candidates(self, sources: Iterable[ModelCorpus]) -> int | None:
        """Upper limit of the candidates that are answered for identification."""
        return sum_of_known(*(self.corpora[corpus].candidates for _, corpus in sources))

    def work(self, cells: Sequence[Cell], sources: Collection[ModelCorpus] = ()) -> dict[str, Work]:
        """By model: what these cells and the identification on `sources` take, clips encoded once each."""
        return {spec.name: self._work_of(spec.name, cells, sources) for spec in self.sweep.models}

    def _work_of(self, name: str, cells: Sequence[Cell], sources: Collection[ModelCorpus]) -> Work:
        own_cells = [cell for cell in cells if cell.model == name]
        clips = sum(self.corpora[corpus].evaluation for corpus in {cell.corpus for cell in own_cells})
        candidates = self.candidates(source for source in sources if source[0] == name)
        return Work(self.answers(own_cells), candidates, sum_of_known(clips, candidates))

    def answer_bytes(self, cells: Iterable[Cell], masks: Iterable[MaskKey]) -> int | None:
        """Uncompressed bytes of the answers of these cells, and of these masks."""
        emotions = max(len(spec.emotions) for spec in self.sweep.corpora)
        neurons = self._neurons()
        answers = self.answers(cells) * (CODE_BYTES + LOGPROB_BYTES * emotions + TEXT_BYTES)
        return sum_of_known(answers, *(neurons[mask.model] for mask in masks))

    def count_bytes(self, sources: Iterable[ModelCorpus]) -> int | None:
        """Uncompressed bytes of the counts, and of their sums per shard."""
        neurons = self._neurons()
        return sum_of_known(*(self._count_bytes(neurons[model], self.corpora[corpus]) for model, corpus in sources))

    def _count_bytes(self, neurons: int | None, corpus: CorpusForecast) -> int | None:
        per_neuron = COUNT_BYTES * (corpus.candidates or 0) + SUM_BYTES * (corpus.shards or 0)
        return None if neurons is None else neurons * len(PARTS) * per_neuron

    def _neurons(self) -> dict[str, int | None]:
        """Gates of each model; None where neither the registry nor a checkpoint at hand tells."""
        entries = {m.name: MODELS[m.model] for m in self.sweep.models if m.model in MODELS}
        shapes = {name: (entry.layers, entry.width) for name, entry in entries.items()} | self.shapes
        return {m.name: prod(shapes[m.name]) if m.name in shapes else None for m in self.sweep.models}


def sum_of_known(*numbers: int | None) -> int | None:
    """The sum; None where any number is unknown."""
    return None if None in numbers else sum(number for number in numbers if number is not None)

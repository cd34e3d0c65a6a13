"""What the selectors of one model get: counts summed for each requested identification size, and streams of utterances.

One pass over the counts serves all sizes. Knows which counts a mask needs, but no scores and no neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from esn_dist.selection.count_passes import sum_counts, utterance_counts
from esn_dist.selection.count_sums import CountSums
from esn_dist.selection.firing import pooled_firing
from esn_dist.selection.identification_sets import counted_utterances, identification_sets, shared_emotions
from esn_dist.selection.selection_input import SelectionInput, UtteranceCounts
from esn_dist.store.folder import StoreFolder
from esn_dist.sweep.keys import IdentificationSize, MaskKey
from esn_dist.terms import JOIN, PARTS


@dataclass(frozen=True, slots=True)
class CountSource:
    """The counts that a mask is selected from: corpora joined by "+", requested size, and counted parts."""

    corpora: str
    size: IdentificationSize
    parts: tuple[str, ...]

    @classmethod
    def of(cls, mask: MaskKey) -> CountSource:
        """Raises ValueError for a mask that uses no counts."""
        if mask.size == "":
            raise ValueError(f"a mask of {mask.selector} uses no counts")
        return cls(mask.corpus, mask.size, mask.parts)

    @property
    def names(self) -> list[str]:
        """The names of the corpora."""
        return self.corpora.split(JOIN)


class SelectionInputs:
    """The inputs of one model's selectors; the latest sums are kept, since masks in a row share them.

    Args:
        emotions, caps: by identification corpus.
        masks: every mask that may be selected: they tell which sizes are requested of the same counts.
    """

    def __init__(
        self,
        folder: StoreFolder,
        model: str,
        emotions: Mapping[str, Sequence[str]],
        caps: Mapping[str, int],
        masks: Sequence[MaskKey],
    ) -> None:
        self.folder, self.model, self.emotions, self.caps = folder, model, emotions, caps
        self._sizes: dict[tuple[str, tuple[str, ...]], dict[IdentificationSize, None]] = {}
        for mask in masks:
            if mask.size:
                self._sizes.setdefault((mask.corpus, mask.parts), {})[mask.size] = None
        self.input = lru_cache(maxsize=1)(self._input)
        self._sums = lru_cache(maxsize=1)(self._sum)

    def emotions_of(self, corpora: Sequence[str]) -> tuple[str, ...]:
        """The emotions that all of these corpora have."""
        return shared_emotions([self.emotions[corpus] for corpus in corpora])

    def _input(self, source: CountSource) -> tuple[SelectionInput, int]:
        """Counts of all corpora of `source` together, and how many utterances of each emotion they come from.

        Raises:
            NothingIdentified: an emotion has no correctly answered utterance, or none with a counted position.
        """
        sums = self._sums(source.corpora, source.parts)[source.size]
        firing = pooled_firing([of_corpus.firing() for of_corpus in sums])

        def utterance_stream() -> Iterator[UtteranceCounts]:
            for name, of_corpus in zip(source.names, sums, strict=True):
                yield from utterance_counts(of_corpus.identified, of_corpus.parts, self.folder, self.model, name)

        utterances = sum(of_corpus.identified.size for of_corpus in sums)
        return SelectionInput(firing.emotions, firing.K, firing.T, utterance_stream), utterances

    def _sum(self, corpora: str, parts: tuple[str, ...]) -> dict[IdentificationSize, list[CountSums]]:
        """For each requested size, one sum per corpus."""
        names, part_rows = corpora.split(JOIN), [PARTS.index(part) for part in parts]
        utterances = [counted_utterances(self.folder, self.model, name) for name in names]
        caps = [self.caps[name] for name in names]
        sums: dict[IdentificationSize, list[CountSums]] = {}
        for size in self._sizes[corpora, parts]:
            identified = identification_sets(utterances, self.emotions_of(names), size, caps)
            sums[size] = [CountSums(of_corpus, part_rows) for of_corpus in identified]
        for index, name in enumerate(names):
            sum_counts([of_size[index] for of_size in sums.values()], self.folder, self.model, name)
        return sums

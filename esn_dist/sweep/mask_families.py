"""The masks of a study, in families: masks that differ in their emotion alone.

Knows the axes of a study and the corpora of a sweep; knows no interventions and no cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.selectors import FROM_FILE, RND, is_random, selector_provider
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.study_spec import StudySpec
from esn_dist.terms import JOIN


@dataclass(frozen=True)
class MaskFamily:
    """Masks that differ in their emotion alone: unions, mixtures and pairs are made of them.

    Attributes:
        key: a mask of the family.
        emotions: of the identification corpus.
    """

    key: MaskKey
    emotions: tuple[str, ...]

    @property
    def singles(self) -> tuple[MaskKey, ...]:
        """One mask per emotion; for RND one mask that serves all emotions."""
        if self.key.selector == RND:
            return (self.key,)
        return tuple(self.key.with_emotions(emotion) for emotion in self.emotions)

    @property
    def union(self) -> MaskKey:
        """The union over all emotions."""
        return self.key.with_emotions(*self.emotions)

    @property
    def pairs(self) -> tuple[MaskKey, ...]:
        """Unions of two emotions; for RND one pair, since all are alike."""
        pairs = tuple(self.key.with_emotions(*emotion_pair) for emotion_pair in combinations(self.emotions, 2))
        return pairs[:1] if self.key.selector == RND else pairs


def mask_families(sweep: Sweep, study: StudySpec, model: str, corpus: str) -> Iterator[MaskFamily]:
    """Every family of a study for one model on one evaluation corpus: selected ones first, then those of files."""
    corpora = {spec.name: spec for spec in sweep.corpora}
    sources = [[corpora[name] for name in source.split(JOIN)] for source in study.sources or (corpus,)]
    providers = {selector: selector_provider(selector) for selector in study.selectors}
    for fraction, selector in product(study.first_fractions, study.selectors):
        seeds = range(study.seeds) if is_random(selector) else (-1,)
        for seed, source in product(seeds, sources):
            key = MaskKey(model, selector, fraction, seed=seed, provider=providers[selector])
            for mask in (key,) if selector == RND else _identified(key, study, source):
                yield MaskFamily(mask, _shared_emotions(source))
    yield from _file_families(study, model)


def _identified(key: MaskKey, study: StudySpec, source: Sequence[CorpusSpec]) -> Iterator[MaskKey]:
    """`key` identified on `source`, with each size and each set of parts of the study."""
    # Pooled corpora give as many utterances each as the poorest of them has, unless the study gives a size.
    default_size = source[0].identification.size if len(source) == 1 else "auto"
    sizes, parts = study.sizes or (default_size,), study.parts or (source[0].identification.parts,)
    for size, counted in product(sizes, parts):
        names = JOIN.join(spec.name for spec in source)
        yield MaskKey(key.model, key.selector, key.fraction, names, "", key.seed, size, counted, key.provider)


def _file_families(study: StudySpec, model: str) -> Iterator[MaskFamily]:
    """Masks of files do not vary with the study's fractions, selectors, seeds, sources, sizes and parts."""
    for file in study.mask_files:
        for family in file.families:
            key = MaskKey(model, FROM_FILE, family.fraction, file.label, seed=family.seed)
            yield MaskFamily(key, family.emotions)


def _shared_emotions(corpora: Sequence[CorpusSpec]) -> tuple[str, ...]:
    """The emotions that all corpora have, in the order of the first."""
    first = corpora[0].emotions
    return tuple(emotion for emotion in first if all(emotion in spec.emotions for spec in corpora))

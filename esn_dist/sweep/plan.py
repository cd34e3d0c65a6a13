"""Studies → cells and masks: pure, deterministic, de-duplicated across studies by the hash of their meaning.

A cell is one (model, evaluation corpus, mask, gain) over *all* evaluation utterances: its self-effect and all its
cross-effects come from the same answers. Knows nothing of what is done already, of sizes, or of workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

from esn_dist.seeds import digest
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.spec import StudySpec, Sweep
from esn_dist.sweep.words import InterventionType, Selector

Item = TypeVar("Item")


@dataclass(frozen=True)
class MaskKey:
    """What a mask means; its members are known once the counts are.

    Attributes:
        corpus: identification corpus; empty for RND, which looks at none.
        emotion: source emotion; empty for RND.
        seed: which of the independent RND masks; −1 for the others.
        size, parts: identification size asked for, and positions counted; empty for RND.
    """

    model: str
    selector: Selector
    fraction: Decimal
    corpus: str = ""
    emotion: str = ""
    seed: int = -1
    size: int | str = ""
    parts: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """16 hex digits, the same for the same meaning in every sweep."""
        fraction = format(self.fraction.normalize(), "f")
        return digest("mask", self.selector, fraction, self.corpus, self.emotion, self.seed, self.size, self.parts)[:16]


@dataclass(frozen=True)
class Cell:
    """One model answering one evaluation corpus with the gates of one mask multiplied by 1 + alpha."""

    model: str
    corpus: str
    mask: MaskKey | None = None
    alpha: float = 0.0

    @cached_property
    def id(self) -> str:
        """16 hex digits, the same for the same meaning in every sweep."""
        return digest("cell", self.mask.id if self.mask else None, self.alpha)[:16]

    @property
    def intervention(self) -> InterventionType:
        if self.mask is None:
            return InterventionType.BASELINE
        return InterventionType.DEACTIVATE if self.alpha == -1 else InterventionType.STEER


@dataclass(frozen=True)
class Plan:
    """What the studies ask for.

    Attributes:
        studies: cells of each study, baselines included.
        cells: every cell once, grouped by model and corpus, baseline first.
        masks: every mask that a cell needs, once.
    """

    studies: dict[str, tuple[Cell, ...]]
    cells: tuple[Cell, ...]
    masks: tuple[MaskKey, ...]

    def cells_of(self, model: str, corpus: str) -> tuple[Cell, ...]:
        return tuple(c for c in self.cells if (c.model, c.corpus) == (model, corpus))

    def masks_of(self, model: str) -> tuple[MaskKey, ...]:
        return tuple(m for m in self.masks if m.model == model)


def plan(sweep: Sweep) -> Plan:
    """Expand every study of `sweep`."""
    studies = {name: tuple(_once(_cells(sweep, study))) for name, study in sweep.studies.items()}
    cells = tuple(_once(cell for study in studies.values() for cell in study))
    order = {(m.name, c.name): i for i, (m, c) in enumerate((m, c) for m in sweep.models for c in sweep.corpora)}
    # The baseline leads its group: every effect is a difference from it.
    cells = tuple(sorted(cells, key=lambda c: (order[c.model, c.corpus], c.mask is not None)))
    return Plan(studies, cells, tuple(_once(c.mask for c in cells if c.mask)))


def _cells(sweep: Sweep, study: StudySpec) -> Iterator[Cell]:
    corpora = {c.name: c for c in sweep.corpora}
    for model in study.models or [m.name for m in sweep.models]:
        for name in study.corpora or corpora:
            yield Cell(model, name)
            for mask in _masks(model, study, [corpora[s] for s in study.sources or (name,)]):
                for intervention in study.interventions:
                    yield from (Cell(model, name, mask, alpha) for alpha in intervention.gains)


def _masks(model: str, study: StudySpec, sources: list[CorpusSpec]) -> Iterator[MaskKey]:
    for fraction in study.fractions:
        for selector in study.selectors:
            if selector is Selector.RND:
                yield from (MaskKey(model, selector, fraction, seed=seed) for seed in range(study.seeds))
                continue
            for source in sources:
                pool = source.identification
                for emotion in source.emotions:
                    yield MaskKey(
                        model, selector, fraction, source.name, emotion, size=pool.size, parts=pool.parts
                    )  # fmt: skip


def _once(items: Iterable[Item]) -> Iterator[Item]:
    yield from dict.fromkeys(items)

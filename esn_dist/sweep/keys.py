"""What a mask and a cell mean, and the ids that are hashed from it.

An id never changes: what was added to these keys later enters the hash only where it is set. Knows no spec.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Literal

from esn_dist.seeds import digest
from esn_dist.sweep.interventions import BASELINE, INTERVENTIONS, NO_PARAMETERS, InterventionParameters
from esn_dist.sweep.selectors import FROM_FILE, RND
from esn_dist.terms import JOIN

FILE_PREFIX = "file:"
"""Prefix of the label that masks of a file have in the place of a corpus; names of corpora contain no colon."""

IdentificationSize = int | Literal["auto"]
"""Utterances of each emotion that identify; "auto": as many as the emotion with the fewest has."""


@dataclass(frozen=True)
class MaskKey:
    """What a mask means; its members are known once the counts are.

    Attributes:
        corpus: identification corpus, or several joined by "+". Empty for RND, which needs none. For masks of a file:
            `file:` and the beginning of the file's hash.
        emotion: source emotion, or several joined by "+": the union of their masks. Empty for a single RND mask. The
            parts of RND's unions and mixtures are independent draws, named by the emotions that they replace.
        seed: number of the independent random mask; −1 for masks that are not drawn.
        size, parts: requested identification size, and counted positions; empty for RND.
        provider: identity of the package that the selector comes from; "" for one of this package.
    """

    model: str
    selector: str
    fraction: Decimal
    corpus: str = ""
    emotion: str = ""
    seed: int = -1
    size: IdentificationSize | Literal[""] = ""
    parts: tuple[str, ...] = ()
    provider: str = ""

    @cached_property
    def id(self) -> str:
        """16 hex digits, the same for the same meaning in every sweep."""
        fraction = format(self.fraction.normalize(), "f")
        meaning = (self.selector, fraction, self.corpus, self.emotion, self.seed, self.size, self.parts)
        return digest("mask", *meaning, *((self.provider,) if self.provider else ()))[:16]

    @property
    def sources(self) -> tuple[str, ...]:
        """The corpora that must be identified before this mask is selected."""
        return tuple(self.corpus.split(JOIN)) if self.corpus and self.selector != FROM_FILE else ()

    @property
    def emotion_masks(self) -> tuple[MaskKey, ...]:
        """The masks of single emotions whose union this mask is; the mask itself where it is no union."""
        return tuple(replace(self, emotion=emotion) for emotion in self.emotion.split(JOIN))

    def with_emotions(self, *emotions: str) -> MaskKey:
        """The mask of other emotions that differs in nothing else; of several, the union."""
        return replace(self, emotion=JOIN.join(emotions))


@dataclass(frozen=True)
class Cell:
    """One model answering one evaluation corpus under one intervention; without a mask it is the baseline.

    Attributes:
        mask: what the intervention acts on: the mask of one emotion, or the union of several.
        alpha: gain: the gates of the mask are multiplied by 1 + alpha.
        intervention: name of its type in `INTERVENTIONS`.
        parameters: of that type.
        provider: identity of the package that the type comes from; "" for a type of this package.
    """

    model: str
    corpus: str
    mask: MaskKey | None = None
    alpha: float = 0.0
    intervention: str = BASELINE
    parameters: InterventionParameters = NO_PARAMETERS
    provider: str = ""

    def __post_init__(self) -> None:
        if (self.mask is None) != (self.intervention == BASELINE):
            raise ValueError(f"a cell of {self.intervention} {'without a' if self.mask is None else 'with a'} mask")

    @cached_property
    def id(self) -> str:
        """16 hex digits, the same for the same meaning in every sweep."""
        values = tuple(value for _, value in self.parameters.values) or (None,)
        named = self.provider or INTERVENTIONS[self.intervention].named_in_id
        meaning = (self.intervention, *values, *((self.provider,) if self.provider else ())) if named else ()
        return digest("cell", self.mask.id if self.mask else None, self.alpha, *meaning)[:16]

    @property
    def masks(self) -> tuple[MaskKey, ...]:
        """Every mask that this cell needs."""
        if self.mask is None:
            return ()
        separate = INTERVENTIONS[self.intervention].separate_masks
        return (self.mask, *self.mask.emotion_masks) if separate else (self.mask,)

    @property
    def source_emotion(self) -> str:
        """The emotion that the cell is steered by, joined for pairs; empty where it commits to none."""
        if self.mask is None or self.mask.selector == RND or INTERVENTIONS[self.intervention].agnostic:
            return ""
        return self.mask.emotion

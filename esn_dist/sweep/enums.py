"""The field's names as enums: selectors, interventions, units' steps."""

from __future__ import annotations

from enum import StrEnum


class Selector(StrEnum):
    """How neurons are ranked (paper §3.1); after the paper's five come those beyond it.

    `LAPE-filtered` is LAPE with the filters of its original. `RND-like-X` draws, for every emotion, as many random
    neurons of each layer as X's mask of that emotion has there. `file` ranks nothing: its masks come from a file.
    """

    RND = "RND"
    LAP = "LAP"
    LAPE = "LAPE"
    MAD = "MAD"
    CONACT = "ConAct"
    LAPE_FILTERED = "LAPE-filtered"
    RND_LIKE_LAP = "RND-like-LAP"
    RND_LIKE_LAPE = "RND-like-LAPE"
    RND_LIKE_MAD = "RND-like-MAD"
    RND_LIKE_CONACT = "RND-like-ConAct"
    FILE = "file"

    @property
    def like(self) -> Selector | None:
        """The selector whose masks this one follows layer by layer; None for all but the layer-matched ones."""
        return Selector(self.removeprefix("RND-like-")) if self.startswith("RND-like-") else None

    @property
    def random(self) -> bool:
        """Whether masks are drawn, and so come with a seed."""
        return self is Selector.RND or self.like is not None


PAPER_SELECTORS = (Selector.RND, Selector.LAP, Selector.LAPE, Selector.MAD, Selector.CONACT)


class InterventionType(StrEnum):
    """What happens to the gates of a mask; `deactivate` is steering with gain −1.

    Two-Pass is an analysis of steering cells: a sweep asks for it, no cell has this type. The co- types act on the
    joined masks of two emotions.
    """

    BASELINE = "baseline"
    DEACTIVATE = "deactivate"
    STEER = "steer"
    TWO_PASS = "two-pass"
    MIX = "mix"
    UNION = "union"
    CO_DEACTIVATE = "co-deactivate"
    CO_STEER = "co-steer"


WITHOUT_GAIN = (InterventionType.DEACTIVATE, InterventionType.CO_DEACTIVATE)


class Step(StrEnum):
    """The sorts of unit, in the order in which a sweep needs them."""

    ENCODE = "encode"
    IDENTIFY = "identify"
    SELECT = "select"
    ANSWER = "answer"

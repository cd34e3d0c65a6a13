"""The field's names as enums: selectors and units' steps."""

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


class Step(StrEnum):
    """The sorts of unit, in the order in which a sweep needs them."""

    ENCODE = "encode"
    IDENTIFY = "identify"
    SELECT = "select"
    ANSWER = "answer"

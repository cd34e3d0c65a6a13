"""The studies of a sweep as pydantic models: what is varied, and what is done to the gates.

Knows nothing of the models and corpora that a study names (`spec.py`) or of the cells it expands to (`plan.py`).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from esn_dist.sweep.base_spec import Spec, identity
from esn_dist.sweep.enums import PAPER_SELECTORS, WITHOUT_GAIN, InterventionType, Selector
from esn_dist.sweep.mask_files import MaskFileSpec
from esn_dist.terms import PARTS


def _fraction(value: Any) -> Any:
    # The decimal as written: 0.005 and "0.5 %" are the same fraction, and neither becomes 0.005000000000000000104.
    text = str(value).strip()
    try:
        return Decimal(text.removesuffix("%").strip()) / 100 if text.endswith("%") else Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a fraction; write 0.005 or 0.5 %") from None


def _parts(value: Any) -> Any:
    # In the store's order, so that "text+audio" asks for the masks of "audio+text".
    given = value.split("+") if isinstance(value, str) else value
    return sorted(given, key=PARTS.index) if set(given) <= set(PARTS) else given


def _listed_fields(data: Any, *names: str) -> Any:
    """`data` with the named fields as lists where they hold a single value."""
    if not isinstance(data, dict):
        return data
    single = {n: (data[n],) for n in names if isinstance(data.get(n), str | int | float)}
    return {**data, **single}


Part = Literal["audio", "text", "generated"]
Parts = Annotated[tuple[Part, ...], BeforeValidator(_parts), Field(min_length=1)]
Size = Annotated[int, Field(ge=1)] | Literal["auto"]
Fraction = Annotated[Decimal, BeforeValidator(_fraction), Field(gt=0, le=1)]


class InterventionSpec(Spec):
    """What is done to the gates of a study's masks (eqs. 8–18): a type, its gains α, and for Mix its temperatures τ."""

    type: InterventionType = identity(description="baseline is none: every study has it")
    alpha: tuple[float, ...] = identity((), description="gains: the gate is multiplied by 1 + α; none to deactivate")
    tau: tuple[float, ...] = identity((), description="temperatures of mix; default 0.5 (Table 2)")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"type": data}
        return _listed_fields(data, "alpha", "tau")

    @model_validator(mode="after")
    def _gains(self) -> InterventionSpec:
        mix = self.type == InterventionType.MIX
        if self.type == InterventionType.BASELINE:
            raise ValueError("every study has the baseline already")
        if (self.type in WITHOUT_GAIN) == bool(self.alpha):
            raise ValueError(f"{self.type} takes no `alpha`" if self.alpha else f"{self.type} needs `alpha`, its gains")
        if any(a in (0.0, -1.0) or a != a or abs(a) == float("inf") for a in self.alpha):
            raise ValueError("a gain must be finite, and neither 0 (the baseline) nor -1 (that is deactivate)")
        if mix and any(a < 0 for a in self.alpha):
            raise ValueError("gains of mix must be positive: where masks overlap, the strongest one counts")
        if self.tau and not mix:
            raise ValueError("only mix has a temperature")
        if any(not 0 < t < float("inf") for t in self.tau):
            raise ValueError("a temperature must be positive and finite")
        return self

    @property
    def gains(self) -> tuple[float, ...]:
        """The α of each cell that this gives; −1 for deactivation."""
        return self.alpha or (-1.0,)

    @property
    def temperatures(self) -> tuple[float | None, ...]:
        """The τ of each cell that this gives; None where there is none."""
        return (self.tau or (0.5,)) if self.type == InterventionType.MIX else (None,)


class StudySpec(Spec):
    """A named product of axes: models × corpora × sources × selectors × fractions × … × interventions.

    A study without interventions identifies and selects, and answers nothing (Fig. 4, Table 4).
    """

    selectors: tuple[Selector, ...] = identity(PAPER_SELECTORS)
    mask_files: tuple[MaskFileSpec, ...] = identity(
        (), description="masks from JSON files beside those of `selectors`, which are none here unless they are named"
    )
    fractions: tuple[Fraction, ...] = identity((Decimal("0.005"),), min_length=1, description="r of all gates")
    interventions: tuple[InterventionSpec, ...] = identity(description="may be an empty list: masks only")
    reach: float | None = identity(
        None, gt=0, lt=1,
        description="look for the smallest of `fractions` whose self–cross gap is this share of the largest one's, "
        "one round of cells after another, instead of running them all",
    )  # fmt: skip
    seeds: int = identity(5, ge=1, description="independent RND masks")
    models: tuple[str, ...] | None = identity(None, description="default: all of the sweep")
    corpora: tuple[str, ...] | None = identity(None, description="evaluation corpora; default: all of the sweep")
    sources: tuple[str, ...] | None = identity(
        None, description="identification corpora; default: the evaluation one; `a+b` identifies over both at once"
    )
    sizes: tuple[Size, ...] | None = identity(None, min_length=1, description="identification sizes; default: corpus's")
    parts: tuple[Parts, ...] | None = identity(
        None, min_length=1, description="positions counted, such as `audio` or `audio+text`; default: the corpus's"
    )

    @model_validator(mode="before")
    @classmethod
    def _singular(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mask_files") and "selectors" not in data:
            data = {**data, "selectors": ()}
        return _listed_fields(data, "fractions", "sizes", "parts", "mask_files")

    @model_validator(mode="after")
    def _selecting(self) -> StudySpec:
        if Selector.FILE in self.selectors:
            raise ValueError("`file` selects nothing: name the files in `mask_files`")
        return self

    @model_validator(mode="after")
    def _searchable(self) -> StudySpec:
        if self.reach is not None:
            if len(set(self.fractions)) < 2:
                raise ValueError("`reach` searches among `fractions`: give two or more")
            if self.mask_files:
                raise ValueError("`reach` searches among `fractions`, and the masks of a file have one")
            if any(selector.random for selector in self.selectors):
                raise ValueError("`reach` compares self with cross, which random masks do not have")
            if any(i.type not in (InterventionType.DEACTIVATE, InterventionType.STEER) for i in self.interventions):
                raise ValueError("`reach` knows deactivate and steer only")
        return self

    @property
    def first_fractions(self) -> tuple[Decimal, ...]:
        """Those that run whatever comes out; a search begins with the largest alone."""
        return self.fractions if self.reach is None else (max(self.fractions),)

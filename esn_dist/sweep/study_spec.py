"""The studies of a sweep as pydantic models: what is varied, and what is done to the gates.

Knows nothing of the models and corpora that a study names (`spec.py`) or of the cells it expands to (`plan.py`).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from esn_dist.sweep.base_spec import InvalidName, Spec, identity
from esn_dist.sweep.interventions import BASELINE, INTERVENTIONS, InterventionParameters, InterventionType
from esn_dist.sweep.mask_files import MaskFileSpec
from esn_dist.sweep.selectors import (
    FROM_FILE,
    LOGGED_STATISTICS,
    PAPER_SELECTORS,
    SELECTORS,
    is_random,
    matched_selector,
    study_selectors,
)
from esn_dist.terms import PARTS, PartName


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


CountedParts = Annotated[tuple[PartName, ...], BeforeValidator(_parts), Field(min_length=1)]
SizeSpec = Annotated[int, Field(ge=1)] | Literal["auto"]
Fraction = Annotated[Decimal, BeforeValidator(_fraction), Field(gt=0, le=1)]


def _selector(name: str) -> str:
    if name == FROM_FILE:
        raise ValueError("`file` selects nothing: name the files in `mask_files`")
    if name not in study_selectors():
        raise InvalidName(f"unknown selector {name!r}", name, study_selectors())
    entry = SELECTORS.get(matched_selector(name) or name)
    missing = set(entry.statistics).difference(LOGGED_STATISTICS) if entry else set()
    if missing:
        raise ValueError(f"selector {name!r} needs statistics that are not logged: {', '.join(sorted(missing))}")
    return name


SelectorName = Annotated[str, AfterValidator(_selector)]


def _intervention(name: str) -> str:
    if name == BASELINE:
        raise ValueError("every study has the baseline already")
    if name not in INTERVENTIONS:
        raise InvalidName(
            f"unknown intervention {name!r}", name, (known for known in INTERVENTIONS if known != BASELINE)
        )
    return name


class InterventionSpec(Spec):
    """What is done to the gates of a study's masks (eqs. 8-18): a type, its gains α, and values of its parameters.

    The parameters are the keys that the type's entry in `INTERVENTIONS` names, such as `tau`; each may be a list.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, tuple[float, ...]] = Field(init=False)

    type: Annotated[str, AfterValidator(_intervention)] = identity(
        description="name of a type; baseline is none, since every study has it"
    )
    alpha: tuple[float, ...] = identity((), description="gains: the gate is multiplied by 1 + α; none to deactivate")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"type": data}
        return _listed_fields(data, *(name for name in data if name != "type")) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _gains(self) -> InterventionSpec:
        if self.entry.takes_gain != bool(self.alpha):
            raise ValueError(f"{self.type} takes no `alpha`" if self.alpha else f"{self.type} needs `alpha`, its gains")
        if any(a in (0.0, -1.0) or a != a or abs(a) == float("inf") for a in self.alpha):
            raise ValueError("a gain must be finite, and neither 0 (the baseline) nor -1 (that is deactivate)")
        if self.entry.positive_gain and any(a < 0 for a in self.alpha):
            raise ValueError(f"gains of {self.type} must be positive")
        return self

    @model_validator(mode="after")
    def _values(self) -> InterventionSpec:
        for name, values in self.given_parameters.items():
            known = {parameter.name: parameter for parameter in self.entry.parameters}
            if name not in known:
                raise self._unknown(name)
            if not all(map(known[name].check, values)):
                raise ValueError(f"a {known[name].title} must be {known[name].expected}")
        return self

    def _unknown(self, name: str) -> ValueError:
        """`name` is no parameter of this type: whose it is, or what was probably meant."""
        for entry in INTERVENTIONS.usable().values():
            for parameter in entry.parameters:
                if parameter.name == name:
                    return ValueError(f"only {entry.name} has a {parameter.title}")
        keys = ("type", "alpha", *(parameter.name for parameter in self.entry.parameters))
        return InvalidName(f"unknown key {name}", name, keys, (name,))

    @property
    def entry(self) -> InterventionType:
        """What is known of the type."""
        return INTERVENTIONS[self.type]

    @property
    def given_parameters(self) -> dict[str, tuple[float, ...]]:
        """The values of parameters that the YAML gives."""
        return self.__pydantic_extra__ or {}

    @property
    def gains(self) -> tuple[float, ...]:
        """The α of each cell that this gives; −1 for deactivation."""
        return (self.entry.fixed_gain,) if self.entry.fixed_gain is not None else self.alpha

    @property
    def parameters(self) -> tuple[InterventionParameters, ...]:
        """The parameters of each cell that this gives."""
        return tuple(self.entry.combinations(self.given_parameters))


class StudySpec(Spec):
    """A named product of axes: models × corpora × sources × selectors × fractions × … × interventions.

    A study without interventions selects masks and answers nothing (Fig. 4, Table 4).
    """

    selectors: tuple[SelectorName, ...] = identity(PAPER_SELECTORS)
    mask_files: tuple[MaskFileSpec, ...] = identity(
        (), description="masks from JSON files; the default of `selectors` is then empty"
    )
    fractions: tuple[Fraction, ...] = identity((Decimal("0.005"),), min_length=1, description="r of all gates")
    interventions: tuple[InterventionSpec, ...] = identity(description="may be an empty list: masks only")
    reach: float | None = identity(
        None, gt=0, lt=1,
        description="search the smallest of `fractions` whose self–cross gap is this share of the largest one's, "
        "round by round, instead of running them all",
    )  # fmt: skip
    seeds: int = identity(5, ge=1, description="independent RND masks")
    models: tuple[str, ...] | None = identity(None, description="default: all of the sweep")
    corpora: tuple[str, ...] | None = identity(None, description="evaluation corpora; default: all of the sweep")
    sources: tuple[str, ...] | None = identity(
        None, description="identification corpora; default: the evaluation one; `a+b` identifies over both at once"
    )
    sizes: tuple[SizeSpec, ...] | None = identity(
        None, min_length=1, description="identification sizes; default: corpus's"
    )
    parts: tuple[CountedParts, ...] | None = identity(
        None, min_length=1, description="positions counted, such as `audio` or `audio+text`; default: the corpus's"
    )

    @model_validator(mode="before")
    @classmethod
    def _singular(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mask_files") and "selectors" not in data:
            data = {**data, "selectors": ()}
        return _listed_fields(data, "fractions", "sizes", "parts", "mask_files")

    @model_validator(mode="after")
    def _searchable(self) -> StudySpec:
        if self.reach is not None:
            if len(set(self.fractions)) < 2:
                raise ValueError("`reach` searches among `fractions`: give two or more")
            if self.mask_files:
                raise ValueError("`reach` searches among `fractions`, and the masks of a file have one")
            if any(map(is_random, self.selectors)):
                raise ValueError("`reach` compares self and cross effects, which random masks do not have")
            if not all(intervention.entry.searchable for intervention in self.interventions):
                searchable = [name for name, entry in INTERVENTIONS.usable().items() if entry.searchable]
                raise ValueError(f"`reach` knows {' and '.join(searchable)} only")
        return self

    @property
    def first_fractions(self) -> tuple[Decimal, ...]:
        """The fractions of the first round: all of them, or the largest alone where the study searches."""
        return self.fractions if self.reach is None else (max(self.fractions),)

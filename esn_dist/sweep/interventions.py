"""The types of intervention, each described in one entry that validation, plan, worker, cost and report read.

Another installed package adds a type through the entry point group `esn_dist.interventions`. Knows no gates and no
torch: an import string names what builds a type's gate transform in a worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from typing import Final, Literal

from esn_dist.registry import Registry

BASELINE: Final = "baseline"
DEACTIVATE: Final = "deactivate"
STEER: Final = "steer"
TWO_PASS: Final = "two-pass"
MIX: Final = "mix"
UNION: Final = "union"
CO_DEACTIVATE: Final = "co-deactivate"
CO_STEER: Final = "co-steer"

SCALE: Final = "esn_dist.gates.transform:build_scale"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a type of intervention takes besides its gain.

    Attributes:
        name: its key in the YAML.
        symbol: in titles, such as τ.
        title: what it is, such as "temperature".
        default: the value where the YAML gives none.
        check: whether a value is valid; `expected` says in words what is.
    """

    name: str
    symbol: str
    title: str
    default: float
    check: Callable[[float], bool] = isfinite
    expected: str = "finite"


@dataclass(frozen=True, slots=True, order=True)
class InterventionParameters:
    """The values of a type's parameters: by name, hashable, in the order of their names."""

    values: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, float]) -> InterventionParameters:
        """From a mapping of names to values."""
        return cls(tuple(sorted((name, float(value)) for name, value in values.items())))

    @classmethod
    def from_json(cls, text: str) -> InterventionParameters:
        """The inverse of `json`; no parameters for an empty text."""
        return cls.of(json.loads(text)) if text else cls()

    @property
    def json(self) -> str:
        """Canonical JSON; "" where there are none."""
        return json.dumps(dict(self.values), separators=(",", ":"), ensure_ascii=False) if self.values else ""

    def __getitem__(self, name: str) -> float:
        return dict(self.values)[name]

    def __bool__(self) -> bool:
        return bool(self.values)

    def with_values(self, values: Mapping[str, float]) -> InterventionParameters:
        """These and `values`, which win where both have a name."""
        return self.of({**dict(self.values), **values})


NO_PARAMETERS: Final = InterventionParameters()


@dataclass(frozen=True, slots=True)
class InterventionType:
    """One type of intervention on the gates of masks (paper eqs. 8-18).

    Attributes:
        name: in the YAML and in the store.
        title: in reports.
        masks: the masks that act in one cell: none, that of one emotion, those of two, or those of all.
        transform: import string of a `gates.transform.GateTransformBuilder`; "" where nothing is done to the gates.
        agnostic: whether it commits to no source emotion, so that self and cross effects are not defined.
        fixed_gain: the gain of every cell; None where the YAML gives `alpha`.
        positive_gain: whether gains must be positive.
        parameters: what it takes besides its gain.
        separate_masks: whether the transform needs the mask of each emotion; else it gets their union.
        gate_path: whether the transform acts at the gate in every forward call. Else the engine profile says whether
            it is folded into the weights.
        refused_on_experts: why models of experts cannot run it; "" where they can.
        answered_by: the type whose cells hold its answers; "" where it has cells of its own. Each utterance has the
            answer of the cell whose source is the emotion that the unintervened model answered (paper eqs. 12-13).
        single_type: the type that does the same with the mask of one emotion; "" where there is none.
        searchable: whether `reach` may search its fraction.
        named_in_id: whether its name enters the hash of a cell. False where mask and gain already tell the type.
    """

    name: str
    title: str
    masks: Literal["none", "one", "pair", "all"]
    transform: str = SCALE
    agnostic: bool = False
    fixed_gain: float | None = None
    positive_gain: bool = False
    parameters: tuple[Parameter, ...] = ()
    separate_masks: bool = False
    gate_path: bool = False
    refused_on_experts: str = ""
    answered_by: str = ""
    single_type: str = ""
    searchable: bool = False
    named_in_id: bool = True

    @property
    def cell_type(self) -> str:
        """The type of the cells that a study of this type asks for."""
        return self.answered_by or self.name

    @property
    def takes_gain(self) -> bool:
        """Whether the YAML must give `alpha`."""
        return self.fixed_gain is None

    def combinations(self, given: Mapping[str, Sequence[float]]) -> Iterator[InterventionParameters]:
        """Every combination of the values in `given`; a parameter that is not given has its default."""
        axes = [given.get(parameter.name) or (parameter.default,) for parameter in self.parameters]
        for values in product(*axes):
            names = (parameter.name for parameter in self.parameters)
            yield InterventionParameters.of(dict(zip(names, values, strict=True)))


def _positive(value: float) -> bool:
    return 0 < value < float("inf")


PARAMETER_COLUMNS: Final = ("tau",)
"""Names of parameters that have a column of their own in the store; all others share the text column `parameters`."""

TEMPERATURE = Parameter("tau", "τ", "temperature", 0.5, _positive, "positive and finite")  # Table 2

_TYPES = (
    InterventionType(BASELINE, "Baseline", "none", "", fixed_gain=0.0, named_in_id=False),
    InterventionType(DEACTIVATE, "Deactivation", "one", fixed_gain=-1.0, searchable=True, named_in_id=False),
    InterventionType(STEER, "Targeted steering", "one", searchable=True, named_in_id=False),
    InterventionType(TWO_PASS, "2-Pass", "one", "", agnostic=True, answered_by=STEER),
    InterventionType(
        MIX,
        "Mix",
        "all",
        "esn_dist.gates.transform:build_mix",
        agnostic=True,
        positive_gain=True,  # where masks overlap, the strongest gain counts
        parameters=(TEMPERATURE,),
        separate_masks=True,
        gate_path=True,
        refused_on_experts="it weighs all gates of a layer at once, and each token reaches the gates of a few experts",
    ),
    InterventionType(UNION, "Union", "all", agnostic=True),
    InterventionType(CO_DEACTIVATE, "Co-deactivation", "pair", fixed_gain=-1.0, single_type=DEACTIVATE),
    InterventionType(CO_STEER, "Co-steering", "pair", single_type=STEER),
)

INTERVENTIONS: Registry[InterventionType] = Registry(
    "esn_dist.interventions", "intervention", InterventionType, {entry.name: entry for entry in _TYPES}
)
"""Every type by name: those of this package in the order of reports, then those of other packages."""


def derived_types() -> dict[str, str]:
    """Types without cells of their own, each with the type whose cells hold its answers."""
    return {name: entry.answered_by for name, entry in INTERVENTIONS.usable().items() if entry.answered_by}


def intervention_provider(name: str) -> str:
    """Identity of the package that registers the type; "" for a type of this package."""
    provider = INTERVENTIONS.provider(name)
    return provider.identity if provider else ""


def intervention_title(name: str, alpha: float, parameters: InterventionParameters = NO_PARAMETERS) -> str:
    """`Deactivation`, `Targeted steering, α = 0.3`, or `Mix, α = 0.3, τ = 0.5`; works for types not installed here."""
    entry = INTERVENTIONS.get(name)
    if entry is not None and not entry.takes_gain:
        return entry.title + parameters_title(name, parameters)
    return f"{entry.title if entry else name}, α = {alpha:g}" + parameters_title(name, parameters)


def parameters_title(name: str, parameters: InterventionParameters) -> str:
    """`, τ = 0.5`, or "" where there are no parameters."""
    entry = INTERVENTIONS.get(name)
    symbols = {parameter.name: parameter.symbol for parameter in entry.parameters} if entry else {}
    return "".join(f", {symbols.get(key, key)} = {value:g}" for key, value in parameters.values)

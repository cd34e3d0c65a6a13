"""Every intervention type of the package keeps the promises of a gate transform."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from esn_dist.sweep.interventions import DEACTIVATE, INTERVENTIONS, MIX, STEER
from esn_dist.testing.interventions import InterventionConformance

GLOSSARY = Path(__file__).parents[2] / "docs/glossary.md"


class TestSteer(InterventionConformance):
    entry = INTERVENTIONS[STEER]


class TestDeactivate(InterventionConformance):
    entry = INTERVENTIONS[DEACTIVATE]


class TestMix(InterventionConformance):
    entry = INTERVENTIONS[MIX]


@pytest.mark.parametrize("name", [name for name in INTERVENTIONS if INTERVENTIONS.provider(name) is None])
def test_no_type_forgets_what_another_module_needs(name: str) -> None:
    """One pass over the registry; the message names what is missing."""
    entry = INTERVENTIONS[name]
    assert entry.name == name, "the entry has another name than its place in the registry"
    assert entry.title, "reports print an empty title"
    assert bool(entry.transform) == (entry.masks != "none" and not entry.answered_by), "`transform` and cells disagree"
    if entry.transform:
        assert callable(resolve_name(entry.transform)), "`transform` names no function"
        tested = [test.entry.transform for test in InterventionConformance.__subclasses__() if hasattr(test, "entry")]
        assert entry.transform in tested, "no class inherits InterventionConformance for its transform"
    for other in filter(None, (entry.answered_by, entry.single_type)):
        assert INTERVENTIONS[other].masks == "one", f"{other} does not act on the mask of one emotion"
    for parameter in entry.parameters:
        assert parameter.check(parameter.default), f"the default of {parameter.name} is not {parameter.expected}"
        assert parameter.symbol and parameter.title, f"titles have no symbol for {parameter.name}"
    (default,) = entry.combinations({})
    assert {key for key, _ in default.values} == {parameter.name for parameter in entry.parameters}
    terms = re.findall(r"^\| (.+?) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    assert name in [term for line in terms for term in line.split(", ")], "docs/glossary.md has no line for it"

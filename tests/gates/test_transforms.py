"""Every intervention type of the package keeps the promises of a gate transform."""

from __future__ import annotations

from esn_dist.sweep.interventions import DEACTIVATE, INTERVENTIONS, MIX, STEER
from esn_dist.testing.interventions import InterventionConformance


class TestSteer(InterventionConformance):
    entry = INTERVENTIONS[STEER]


class TestDeactivate(InterventionConformance):
    entry = INTERVENTIONS[DEACTIVATE]


class TestMix(InterventionConformance):
    entry = INTERVENTIONS[MIX]


def test_every_transform_of_the_package_is_tested_here() -> None:
    tested = {case.entry.transform for case in (TestSteer, TestDeactivate, TestMix)}
    assert {entry.transform for entry in INTERVENTIONS.values() if entry.transform} == tested

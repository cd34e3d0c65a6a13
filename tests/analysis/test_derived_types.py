"""A type that another type answers becomes cells of its own, that of another package too."""

from __future__ import annotations

from typing import Any

import pytest

from esn_dist.analysis.two_pass import with_two_pass
from esn_dist.sweep.interventions import DEACTIVATE, INTERVENTIONS, InterventionType, derived_types

A, J = "anger", "joy"
LABELS = [A, A, J, J]


def test_a_type_that_deactivation_answers_has_the_answers_of_deactivation(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = InterventionType("guess-off", "Guess off", "one", "", agnostic=True, answered_by=DEACTIVATE)
    monkeypatch.setitem(INTERVENTIONS._builtin, entry.name, entry)
    cells = [
        build.baseline([A, J, J, "?"]),  # the answers that choose
        build.cell([J, J, J, J], source_emotion=A),
        build.cell([A, A, A, A], source_emotion=J),
    ]
    answers = build.dataset(LABELS, cells)
    added = with_two_pass(answers)
    assert added["intervention"].values.tolist() == ["baseline", "deactivate", "deactivate", "guess-off"]
    assert [answers["emotion"].values[code] for code in added["answer"].values[3][:3]] == [J, A, A]
    assert added["outcome"].values[3, 3] == answers["outcome"].values[0, 3], "no option named: the first outcome stays"
    assert len(set(added["cell"].values)) == 4 and derived_types()["guess-off"] == DEACTIVATE

"""Effect rows written by hand, for tests of tables: every value has a default, attributes of conditions are direct."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from esn_dist.analysis.bootstrap import UNDEFINED, Estimate
from esn_dist.analysis.summary import BaselineRow, EffectRow, MissingAnswers
from esn_dist.analysis.trials import Condition

OF_CONDITION = {field.name for field in fields(Condition)}
ROW = EffectRow(
    model="tiny", corpus="studio", condition=Condition("ConAct", "deactivate", -1.0, 0.1, "studio"), sources=(),
    self_effect=UNDEFINED, cross_effect=UNDEFINED, gap=UNDEFINED, seeds_sd=None, margin_self=UNDEFINED,
    margin_cross=UNDEFINED, source_rate=UNDEFINED, accuracy=UNDEFINED, invalid_rate=None, utterances=0,
    missing_pairs=0, missing=MissingAnswers(),
)  # fmt: skip


def point(value: float) -> Estimate:
    """An estimate without an interval."""
    return Estimate(value, None, None)


def changed(row: EffectRow = ROW, **values: Any) -> EffectRow:
    """The row with other values of its own or of its condition."""
    of_condition = {name: value for name, value in values.items() if name in OF_CONDITION}
    remaining = {name: value for name, value in values.items() if name not in OF_CONDITION}
    return replace(row, condition=replace(row.condition, **of_condition), **remaining)


def baseline(model: str, corpus: str, emotion: str, accuracy: Estimate, utterances: int = 1000) -> BaselineRow:
    """The unintervened model on a corpus, all answers valid."""
    return BaselineRow(model, corpus, emotion, accuracy, 0.0, utterances, MissingAnswers())

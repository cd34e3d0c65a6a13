"""What conditions, masks and places are called in titles, the same in every table, figure and page.

Knows no numbers but those of a condition, and no markup.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from esn_dist.analysis.summary import ALL
from esn_dist.analysis.trials import Condition
from esn_dist.report.numbers import fraction_text
from esn_dist.sweep.interventions import INTERVENTIONS, intervention_title, parameters_title
from esn_dist.terms import JOIN, PARTS

ALL_PARTS = JOIN.join(PARTS)
ANY_GAIN: Final = "gain"  # in the place of an intervention: deactivation and steering along the axis of gains


def condition_title(condition: Condition, omit: Collection[str] = ()) -> str:
    """`Deactivation, ConAct, r = 10 %, masks from studio`; attributes in `omit` are left out."""
    masks = "" if "source_corpus" in omit else masks_title(condition.source_corpus)
    size = 0 if "identification_size" in omit else condition.identification_size
    named = [_intervention(condition, omit)]
    named += [] if "selector" in omit else [condition.selector]
    named += [] if "fraction" in omit else [f"r = {fraction_text(condition.fraction)}"]
    return ", ".join(named) + masks + identification_title(size, condition.parts)


def condition_intervention(condition: Condition) -> str:
    """`Deactivation`, `Targeted steering, α = 0.3`, or `Mix, α = 0.3, τ = 0.5`."""
    return intervention_title(condition.intervention, condition.alpha, condition.parameters)


def identification_title(identification_size: int, parts: str) -> str:
    """`, 50 utterances per emotion, audio positions`; "" for the defaults."""
    size = f", {identification_size} utterances per emotion" if identification_size > 0 else ""
    return size + (f", {parts} positions" if parts not in ("", ALL_PARTS) else "")


def masks_title(source_corpus: str) -> str:
    """`, masks from studio`; "" for masks that come from no corpus."""
    return f", masks from {source_corpus}" if source_corpus else ""


def place_title(model: str, corpus: str) -> str:
    """`tiny on studio`, or `tiny on all corpora (macro mean)`."""
    return f"{model} on {'all corpora (macro mean)' if corpus == ALL else corpus}"


def _intervention(condition: Condition, omit: Collection[str]) -> str:
    """The type with its gain and parameters."""
    name = condition.intervention
    if "alpha" not in omit:
        return condition_intervention(condition)
    entry = INTERVENTIONS.get(name)
    return (entry.title if entry else name) + parameters_title(name, condition.parameters)

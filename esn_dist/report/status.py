"""A store's state as text."""

from __future__ import annotations

from typing import Any

from esn_dist.report.speakers import unpromised
from esn_dist.store.speakers import Speakers


def status_text(state: dict[str, Any]) -> str:
    """The state of `store.state.read_state` for a person."""
    lines = [f"{state['folder']}: " + (f"running ({state['driver']})" if state["driver"] else "no driver is running")]
    for model, facts in state["models"].items():
        lines.append(f"{model} (as of {facts['updated']})")
        for step, counts in facts["steps"].items():
            lines.append(f"  {step}: {counts['done']} of {counts['known']} units done")
        if facts["running"]:
            lines.append(f"  running: {', '.join(facts['running'])}")
        if facts["eta_seconds"] is not None:
            lines.append(f"  about {facts['eta_seconds']:.0f} s left")
        lines += [f"  failed: {unit}: {reason}" for unit, reason in facts["failed"].items()]
    lines += [f"could not be read: {clip}" for clip in state["lost"]]
    lines += unpromised(Speakers(**facts) for facts in state["speakers"])
    if not state["models"]:
        lines.append("preparing: no unit has been planned yet")
    return "\n".join(lines)

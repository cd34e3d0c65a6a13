"""A store's state as text."""

from __future__ import annotations

from esn_dist.report.numbers import decimal_text
from esn_dist.report.speakers import unverified_speakers
from esn_dist.store.status import StoreStatus


def status_text(status: StoreStatus) -> str:
    """The status of a store for a person."""
    lines = [f"{status.folder}: " + (f"running ({status.driver})" if status.driver else "no driver is running")]
    for model, state in status.models.items():
        lines.append(f"{model} (as of {state.updated})")
        lines += [f"  {step}: {done} of {known} units done" for step, (done, known) in state.steps.items()]
        if state.in_flight:
            lines.append(f"  running: {', '.join(state.in_flight)}")
        if state.eta_seconds is not None:
            lines.append(f"  about {decimal_text(state.eta_seconds, 0)} s remain")
        lines += [f"  failed: {unit}: {reason}" for unit, reason in state.failed.items()]
    lines += [f"unreadable clip: {clip}" for clip in status.unreadable_clips]
    lines += unverified_speakers(status.speakers)
    if not status.models:
        lines.append("preparing: no unit has been planned yet")
    return "\n".join(lines)

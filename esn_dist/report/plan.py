"""A forecast as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict

from rich.filesize import decimal

from esn_dist.sweep.forecast import Forecast


def plan_facts(forecast: Forecast) -> dict[str, object]:
    """The forecast with plain values."""
    return asdict(forecast)


def plan_text(forecast: Forecast) -> str:
    """The forecast for a person, one line per study, corpus and total."""
    lines = [f"sweep {forecast.sweep}", "", "studies"]
    for s in forecast.studies:
        shared = f" ({s.shared:,} cells shared with {', '.join(s.shared_with)})" if s.shared else ""
        lines.append(f"  {s.name}: {s.cells:,} cells, {s.masks:,} masks, {s.answers:,} answers{shared}")
        hours = _hours(s.hours) if s.cells > s.shared else "no GPU-hours"
        later = f"; then up to {s.later:,} more cells, round by round" if s.later else ""
        size = "an unknown size" if s.bytes is None else decimal(s.bytes)
        lines.append(f"    adds {hours}, {size}{later}")
    lines += ["", "corpora"]
    for c in forecast.corpora:
        pool = "all the rest" if c.candidates is None else f"up to {c.candidates:,}"
        lines.append(f"  {c.name}: evaluation {c.evaluation:,}, identification pool {pool} ({c.source})")
    units = ", ".join(f"{step} {count:,}" for step, count in forecast.units.items())
    asked = "unknown" if forecast.identification_answers is None else f"up to {forecast.identification_answers:,}"
    size = "unknown" if forecast.bytes is None else f"at most {decimal(forecast.bytes)} before compression"
    lines += [
        "",
        f"cells    {forecast.cells:,}, with {forecast.masks:,} masks",
        f"answers  {forecast.answers:,}, and {asked} for identification",
        f"hours    {_hours(forecast.hours)}{_unmeasured(forecast.unmeasured)}; identification not included",
        f"units    {units}",
        f"store    {size}",
    ]
    return "\n".join(lines)


def _hours(hours: dict[str, float]) -> str:
    """Hours of one device each; an hour that nobody can know is not a number."""
    return " or ".join(f"{n:.1f} hours of {device}" for device, n in hours.items()) or "unknown GPU-hours"


def _unmeasured(models: tuple[str, ...]) -> str:
    return f" (no rate was measured for {', '.join(models)})" if models else ""

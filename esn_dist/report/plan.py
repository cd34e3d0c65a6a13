"""A forecast as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict

from rich.filesize import decimal

from esn_dist.sweep.cost import TotalHours, Work, WorkHours
from esn_dist.sweep.forecast import Forecast, ModelForecast

AT_MOST = {"answering": "", "identification": "up to ", "encoding": "up to "}
NOTHING = Work(answering=0, identification=0, encoding=0)


def plan_facts(forecast: Forecast) -> dict[str, object]:
    """The forecast with plain values."""
    return asdict(forecast)


def plan_text(forecast: Forecast) -> str:
    """The forecast for a person, one line per study, model, corpus and total."""
    lines = [f"sweep {forecast.sweep}", "", "studies (their hours: answering alone)"]
    for s in forecast.studies:
        shared = f" ({s.shared:,} cells shared with {', '.join(s.shared_with)})" if s.shared else ""
        lines.append(f"  {s.name}: {s.cells:,} cells, {s.masks:,} masks, {s.answers:,} answers{shared}")
        hours = _totals(s.hours) if s.cells > s.shared else "no GPU-hours"
        later = f"; then up to {s.later:,} more cells, round by round" if s.later else ""
        size = "an unknown size" if s.bytes is None else decimal(s.bytes)
        lines.append(f"    adds {hours}, {size}{later}")
    lines += ["", "corpora"]
    for c in forecast.corpora:
        pool = "all the rest" if c.candidates is None else f"up to {c.candidates:,}"
        lines.append(f"  {c.name}: evaluation {c.evaluation:,}, identification pool {pool} ({c.source})")
    lines += ["", "models", *(line for model in forecast.models for line in _model(model))]
    hours = "no GPU-hours" if all(m.work == NOTHING for m in forecast.models) else _totals(forecast.hours, "up to ")
    later = "; later rounds of a search not included" if any(s.later for s in forecast.studies) else ""
    units = ", ".join(f"{step} {_number(count)}" for step, count in forecast.units.items())
    size = "unknown" if forecast.bytes is None else f"at most {decimal(forecast.bytes)} before compression"
    lines += [
        "",
        f"cells    {forecast.cells:,}, with {forecast.masks:,} masks",
        f"answers  {forecast.answers:,}, and {_at_most(forecast.identification_answers)} for identification",
        f"hours    {hours}{later}",
        f"units    {units}",
        f"store    {size}",
    ]
    return "\n".join(lines)


def _model(model: ModelForecast) -> list[str]:
    """Its work, and below it its hours on each device."""
    work = model.work
    if work == NOTHING:
        return [f"  {model.name}: nothing to do"]
    asked, clips = _at_most(work.identification), _at_most(work.encoding)
    lines = [f"  {model.name}: {work.answering:,} answers, {asked} for identification, {clips} clips to encode"]
    known = [f"    {_parts(model.hours[at])} hours of {at} (measured {date})" for at, date in model.measured.items()]
    return lines + (known or ["    unknown GPU-hours: no rate was measured for it as it runs here"])


def _parts(hours: WorkHours) -> str:
    """Each part by itself; one without a rate is not a number."""
    told = {part: "unknown" if n is None else AT_MOST[part] + _hours(n) for part, n in hours.items()}
    return ", ".join(f"{part} {n}" for part, n in told.items())


def _totals(hours: dict[str, TotalHours], at_most: str = "") -> str:
    """Hours of one device each, and what is not in them."""
    told = [f"{at_most}{_hours(total.hours)} hours of {device}{_without(total)}" for device, total in hours.items()]
    return " or ".join(told) or "unknown GPU-hours"


def _without(total: TotalHours) -> str:
    return f" without {', '.join(total.left_out)} (unknown)" if total.left_out else ""


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours >= 0.01 else "under 0.01" if hours else "no"


def _number(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _at_most(count: int | None) -> str:
    return "unknown" if count is None else f"up to {count:,}" if count else "none"

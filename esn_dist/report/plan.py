"""A forecast as text and as JSON. Knows no sweep: numbers go in."""

from __future__ import annotations

from dataclasses import asdict

from rich.filesize import decimal

from esn_dist.report.numbers import decimal_text
from esn_dist.sweep.cost import TotalHours, Work, WorkHours
from esn_dist.sweep.forecast import Forecast, ModelForecast, StudyForecast
from esn_dist.sweep.work_amounts import CorpusForecast

UPPER_LIMIT = {"answering": "", "identification": "up to ", "encoding": "up to "}
"""Written before the hours of each part: candidates and clips are known as upper limits."""
NO_WORK = Work(answering=0, identification=0, encoding=0)


def plan_facts(forecast: Forecast) -> dict[str, object]:
    """The forecast as plain dicts, lists and numbers, for JSON."""
    return asdict(forecast)


def plan_text(forecast: Forecast) -> str:
    """The forecast as text: lines for each study, corpus and model, then the totals."""
    lines = [f"sweep {forecast.sweep}", "", "studies (their hours: answering alone)"]
    lines += [line for study in forecast.studies for line in _study(study)]
    lines += ["", "corpora", *map(_corpus, forecast.corpora)]
    lines += ["", "models", *(line for model in forecast.models for line in _model(model))]
    return "\n".join([*lines, "", *_sums(forecast)])


def _study(study: StudyForecast) -> list[str]:
    shared = f" ({study.shared:,} cells shared with {', '.join(study.shared_with)})" if study.shared else ""
    hours = _totals(study.hours) if study.cells > study.shared else "no GPU-hours"
    size = "an unknown size" if study.bytes is None else decimal(study.bytes)
    later = f"; then up to {study.later:,} more cells, round by round" if study.later else ""
    return [
        f"  {study.name}: {study.cells:,} cells, {study.masks:,} masks, {study.answers:,} answers{shared}",
        f"    adds {hours}, {size}{later}",
    ]


def _corpus(corpus: CorpusForecast) -> str:
    candidates = "all the rest" if corpus.candidates is None else f"up to {corpus.candidates:,}"
    return f"  {corpus.name}: evaluation {corpus.evaluation:,}, identification pool {candidates} ({corpus.source})"


def _model(model: ModelForecast) -> list[str]:
    """The work of a model, and below it its hours on each device."""
    work = model.work
    if work == NO_WORK:
        return [f"  {model.name}: nothing to do"]
    candidates, clips = _up_to(work.identification), _up_to(work.encoding)
    lines = [f"  {model.name}: {work.answering:,} answers, {candidates} for identification, {clips} clips to encode"]
    measured = model.measured.items()
    known = [f"    {_parts(model.hours[device])} hours of {device} (measured {date})" for device, date in measured]
    return lines + (known or ["    unknown GPU-hours: no rate was measured for it as it runs here"])


def _sums(forecast: Forecast) -> list[str]:
    """Totals of the whole sweep."""
    hours = "no GPU-hours" if all(m.work == NO_WORK for m in forecast.models) else _totals(forecast.hours, "up to ")
    later = "; later rounds of a search not included" if any(study.later for study in forecast.studies) else ""
    units = ", ".join(f"{step} {_number(count)}" for step, count in forecast.units.items())
    size = "unknown" if forecast.bytes is None else f"at most {decimal(forecast.bytes)} before compression"
    return [
        f"cells    {forecast.cells:,}, with {forecast.masks:,} masks",
        f"answers  {forecast.answers:,}, and {_up_to(forecast.identification_answers)} for identification",
        f"hours    {hours}{later}",
        f"units    {units}",
        f"store    {size}",
    ]


def _parts(hours: WorkHours) -> str:
    """The hours of each part; without a rate, the word `unknown`."""
    texts = {part: "unknown" if n is None else UPPER_LIMIT[part] + _hours(n) for part, n in hours.items()}
    return ", ".join(f"{part} {text}" for part, text in texts.items())


def _totals(hours: dict[str, TotalHours], prefix: str = "") -> str:
    """Hours on each device, and what they do not include."""
    texts = [f"{prefix}{_hours(total.hours)} hours of {device}{_without(total)}" for device, total in hours.items()]
    return " or ".join(texts) or "unknown GPU-hours"


def _without(total: TotalHours) -> str:
    return f" without {', '.join(total.left_out)} (unknown)" if total.left_out else ""


def _hours(hours: float) -> str:
    return decimal_text(hours, 2) if hours >= 0.01 else "under 0.01" if hours else "no"


def _number(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _up_to(count: int | None) -> str:
    return "unknown" if count is None else f"up to {count:,}" if count else "none"

"""The log of a sweep's runs: events, the state that `status` shows, and what the plan's studies compare.

Files of `log/`: `events.jsonl` (one JSON object per line), `state.json` (by model) and `studies.json` (by study). Names
and keys of earlier versions are read too. Only the driver writes. Knows no schedule and no plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from esn_dist.store.folder import LOG, StoreFolder
from esn_dist.store.run_events import EVENT_TYPES, Event, LoggedEvent

EVENTS, STATE, STUDIES = f"{LOG}/events.jsonl", f"{LOG}/state.json", f"{LOG}/studies.json"


@dataclass(frozen=True, slots=True)
class ModelState:
    """How far one model's units are.

    Attributes:
        steps: units done and known, by step. Identification adds units round by round, so the second may grow.
        in_flight: units that workers hold.
        failed: reason of every unit that failed for good.
        eta_seconds: time until the answers are complete; None where no unit of theirs has finished in this run.
        updated: moment of writing.
    """

    steps: Mapping[str, tuple[int, int]]
    in_flight: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    eta_seconds: float | None = None
    updated: str = ""

    def as_json(self) -> dict[str, Any]:
        """As `state.json` holds it; `running` repeats `in_flight` for readers of earlier versions."""
        return {
            "updated": self.updated,
            "steps": {step: {"done": done, "known": known} for step, (done, known) in self.steps.items()},
            "in_flight": list(self.in_flight),
            "running": list(self.in_flight),
            "failed": dict(self.failed),
            "eta_seconds": self.eta_seconds,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ModelState:
        return cls(
            steps={step: (counts["done"], counts["known"]) for step, counts in content["steps"].items()},
            in_flight=tuple(content.get("in_flight", content.get("running", ()))),
            failed=content["failed"],
            eta_seconds=content["eta_seconds"],
            updated=content["updated"],
        )


@dataclass(frozen=True, slots=True)
class StudyCondition:
    """What the cells of one condition of a study share, whatever their fraction.

    Attributes:
        source_corpus: identification corpus of the masks.
        identification_size: utterances per emotion that were requested; 0: as many as all emotions have.
        parts: positions whose counts the masks are selected from, joined by "+".
    """

    model: str
    corpus: str
    intervention: str
    selector: str
    source_corpus: str
    alpha: float
    identification_size: int
    parts: str


@dataclass(frozen=True, slots=True)
class LoggedStudy:
    """A study of the plan.

    Attributes:
        reach: share of the largest fraction's gap that the study searches for; None where it searches nothing.
        fractions: those that the study may try, as decimal texts.
        conditions: what is searched; empty where nothing is.
    """

    name: str
    reach: float | None
    fractions: tuple[str, ...]
    conditions: tuple[StudyCondition, ...] = ()

    def as_json(self) -> dict[str, Any]:
        conditions = [asdict(condition) for condition in self.conditions]
        return {"reach": self.reach, "fractions": list(self.fractions), "conditions": conditions}

    @classmethod
    def from_json(cls, name: str, content: Mapping[str, Any]) -> LoggedStudy:
        conditions = tuple(StudyCondition(**condition) for condition in content["conditions"])
        return cls(name, content["reach"], tuple(content["fractions"]), conditions)


class RunLog:
    """The log of one store: `RunLog(folder).write(event)`."""

    def __init__(self, folder: StoreFolder) -> None:
        self._backend = folder.backend

    def write(self, event: Event) -> None:
        """Append one event."""
        line = {"time": _now(), "event": event.name, "unit": event.subject, "details": list(event.details)}
        self._backend.append(EVENTS, (json.dumps(line) + "\n").encode())

    def events(self) -> Iterator[LoggedEvent]:
        """Every event, oldest first. A line that a killed driver has cut is left out."""
        current = {event.legacy_name: event.name for event in EVENT_TYPES if event.legacy_name}
        for line in self._read(EVENTS).decode(errors="replace").splitlines():
            if line.endswith("}"):
                entry = json.loads(line)
                name = current.get(entry["event"], entry["event"])
                moment = datetime.fromisoformat(entry["time"])
                yield LoggedEvent(moment, name, entry["unit"], tuple(entry["details"]))

    def write_state(self, model: str, state: ModelState) -> None:
        """Replace the state of `model`, stamped with the present moment."""
        states = self._json(STATE) | {model: {**state.as_json(), "updated": _now()}}
        self._backend.write(STATE, json.dumps(states, indent=1).encode(), durable=False)

    def states(self) -> dict[str, ModelState]:
        """The last state of every model."""
        return {model: ModelState.from_json(content) for model, content in self._json(STATE).items()}

    def write_studies(self, studies: Sequence[LoggedStudy]) -> None:
        """Add `studies`; one of a known name replaces it, and studies of earlier plans stay."""
        known = self._json(STUDIES) | {study.name: study.as_json() for study in studies}
        self._backend.write(STUDIES, json.dumps(known, indent=1).encode())

    def studies(self) -> tuple[LoggedStudy, ...] | None:
        """The studies of all runs; None where every run was one of a version that did not log them."""
        if not self._backend.exists(STUDIES):
            return None
        return tuple(LoggedStudy.from_json(name, content) for name, content in self._json(STUDIES).items())

    def _read(self, key: str) -> bytes:
        try:
            return self._backend.read(key)
        except FileNotFoundError:
            return b""

    def _json(self, key: str) -> dict[str, Any]:
        content = self._read(key)
        return dict(json.loads(content)) if content else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

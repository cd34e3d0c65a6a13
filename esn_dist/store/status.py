"""The status of a store during and after a run: what is done, in flight and failed, from marks, run log and lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from esn_dist.store.done import done_units
from esn_dist.store.folder import DATA, StoreFolder
from esn_dist.store.lock import running_driver
from esn_dist.store.run_events import UnreadableClips
from esn_dist.store.run_log import ModelState, RunLog
from esn_dist.store.speakers import Speakers, read_speakers


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store says about its run.

    Attributes:
        driver: who holds the lock; None where no driver runs.
        done: units done, by step.
        models: the last state of every model. Units are in flight only while a driver runs.
        unreadable_clips: clips that could not be read during the run, each with its reason.
        speakers: of each corpus: whether evaluation and identification share speakers.
    """

    folder: str
    driver: str | None
    done: Mapping[str, int]
    models: Mapping[str, ModelState]
    unreadable_clips: tuple[str, ...]
    speakers: tuple[Speakers, ...]

    def as_json(self) -> dict[str, Any]:
        """For `status --json`; `lost` repeats `unreadable_clips` for readers of earlier versions."""
        return {
            "folder": self.folder,
            "driver": self.driver,
            "done": dict(self.done),
            "models": {name: state.as_json() for name, state in self.models.items()},
            "unreadable_clips": list(self.unreadable_clips),
            "lost": list(self.unreadable_clips),
            "speakers": [speakers.as_json() for speakers in self.speakers],
        }


def read_status(folder: StoreFolder) -> StoreStatus:
    """The status of the store. Raises `UserError` where no run has begun a store."""
    if not folder.begun():
        folder.require()
    driver, log = running_driver(folder.backend), RunLog(folder)
    models = log.states()
    if driver is None:
        models = {name: replace(state, in_flight=(), eta_seconds=None) for name, state in models.items()}
    done = Counter(unit.partition("-")[0] for unit in done_units(folder))
    clips = {clip for event in log.events() if event.name == UnreadableClips.name for clip in event.details}
    corpora = folder.backend.children(f"{DATA}/corpora")
    return StoreStatus(
        folder=str(folder.root),
        driver=driver,
        done=dict(sorted(done.items())),
        models=models,
        unreadable_clips=tuple(sorted(clips)),
        speakers=tuple(read_speakers(folder, corpus) for corpus in corpora),
    )

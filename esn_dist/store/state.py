"""What a store's folder says about its run, from done-marks, the log and the lock; works during and after it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from esn_dist.store.done import done_units
from esn_dist.store.folder import StoreFolder
from esn_dist.store.lock import running_driver
from esn_dist.store.speakers import read_speakers


def read_state(folder: StoreFolder) -> dict[str, Any]:
    """Driver (or None where none runs), units done by step, per model what is known, running, failed, and the ETA.

    Units that the last driver had in hand are shown as running only while a driver runs. `lost` are the clips that
    could not be read when their turn came, with reasons. `speakers`: by corpus, whether those of evaluation and
    identification are apart.
    """
    if not folder.root.is_dir() or not folder.done.is_dir():
        folder.require()
    driver = running_driver(folder.lock)
    path = folder.log / "state.json"
    models: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if driver is None:
        models = {name: {**state, "running": [], "eta_seconds": None} for name, state in models.items()}
    done = Counter(unit.partition("-")[0] for unit in done_units(folder))
    return {
        "folder": str(folder.root),
        "driver": driver,
        "done": dict(sorted(done.items())),
        "models": models,
        "lost": _lost(folder),
        "speakers": [asdict(read_speakers(folder, corpus)) for corpus in _corpora(folder)],
    }


def _corpora(folder: StoreFolder) -> list[str]:
    """Corpora that are in place; none before the first is scanned."""
    parent = folder.data / "corpora"
    return sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _lost(folder: StoreFolder) -> list[str]:
    path = folder.log / "events.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    whole = (json.loads(line) for line in lines if line.endswith("}"))  # a killed driver may have cut the last one
    return sorted({detail for event in whole if event["event"] == "clip" for detail in event["details"]})

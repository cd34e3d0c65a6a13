"""An oracle from outside: planted neurons are found, exactly, and switching them off removes their emotion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import open_answers, open_counts, open_masks
from tests.runner.planted import EMOTIONS, PLANTED, SIZE, planted_gates, write_corpus, write_model

SWEEP = f"""\
name: planted
seed: 1
store: store
models: [{{name: planted, model: tiny-qwen2.5-omni, source: model}}]
corpora:
  - name: tones
    type: manifest
    path: tones/manifest.csv
    emotions: [{", ".join(EMOTIONS)}]
    evaluation: {{splits: [test], per_emotion: 8}}
    identification: {{splits: [train], candidates: 1}}
  - name: others           # identified on, never evaluated on: a transfer
    type: manifest
    path: tones/manifest.csv
    emotions: [{", ".join(EMOTIONS)}]
    evaluation: {{splits: [test], per_emotion: 1}}
    identification: {{splits: [train], candidates: 12, cap: 10}}
studies:
  oracle:
    corpora: [tones]
    sources: [others]
    selectors: [RND, LAPE, MAD, ConAct]
    fractions: {PLANTED / (SIZE.layers * SIZE.gates)}
    interventions: [deactivate]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, runner: Any) -> StoreFolder:
    folder = tmp_path_factory.mktemp("planted")
    write_model(folder / "model")
    write_corpus(folder / "tones", evaluation=8, identification=12)
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    runner.run(folder / "sweep.yaml")
    return StoreFolder(folder / "store")


@pytest.fixture(scope="module")
def answers(store: StoreFolder) -> xr.Dataset:
    return open_answers(store, "planted", "tones").load()


def test_the_planted_model_answers_everything_right(answers: xr.Dataset) -> None:
    baseline = answers.sel(cell=answers.intervention == "baseline").isel(cell=0)
    assert (baseline.outcome == 1).all()
    assert (answers.emotion.values[baseline.answer.values] == answers.label.values).all()


def test_gates_that_were_not_planted_fire_alike_for_every_emotion(store: StoreFolder) -> None:
    K = open_counts(store, "planted", "others").K.sum("part").groupby("label").mean().values
    planted = planted_gates().any(axis=0)
    assert np.ptp(K[:, ~planted], axis=0).max() == 0
    assert (np.ptp(K[:, planted], axis=0) > 10).all()


@pytest.mark.parametrize("selector", ["LAPE", "MAD", "ConAct"])
def test_a_selector_recovers_exactly_what_was_planted(store: StoreFolder, selector: str) -> None:
    masks = open_masks(store, "planted").load()
    for code, emotion in enumerate(EMOTIONS):
        chosen = masks.member[(masks.selector == selector) & (masks.source_emotion == emotion)]
        assert np.array_equal(chosen.values, planted_gates()[[code]])


def test_random_masks_of_the_same_size_do_not(store: StoreFolder) -> None:
    masks = open_masks(store, "planted").load()
    random = masks.member[masks.selector == "RND"].values
    assert random.shape[0] == 5
    assert (random.sum(axis=(1, 2)) == PLANTED).all()
    assert not any(np.array_equal(mask, planted) for mask in random for planted in planted_gates())


@pytest.mark.parametrize("selector", ["LAPE", "MAD", "ConAct"])
def test_switching_them_off_removes_that_emotion_and_no_other(answers: xr.Dataset, selector: str) -> None:
    for emotion in EMOTIONS:
        cell = answers.sel(cell=(answers.selector == selector) & (answers.source_emotion == emotion)).isel(cell=0)
        right = (cell.outcome == 1) & (cell.emotion.values[cell.answer.values] == cell.label)
        assert np.array_equal(right.values, cell.label.values != emotion)

"""A store that version 1 wrote keeps opening, whole and with its meaning: the promise of store/README.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esn_dist.analysis.measured_effects import EffectSettings, measure
from esn_dist.analysis.summary import baseline_rows, effect_rows
from esn_dist.selection.count_passes import sum_counts
from esn_dist.selection.count_sums import CountSums, sum_blocks
from esn_dist.selection.identification_sets import identification_set
from esn_dist.selection.masks import top_neurons
from esn_dist.selection.scores import conact
from esn_dist.store.done import damaged, done_units
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks, describe, open_answers, open_counts, open_masks, read_utterances

MODEL, CORPUS = "tiny-qwen2.5-omni", "studio"


@pytest.fixture(scope="module")
def example() -> StoreFolder:
    return StoreFolder(Path(__file__).parents[2] / "store" / "example")


def test_it_is_of_version_1_and_undamaged(example: StoreFolder) -> None:
    assert describe(example).attributes["esn_dist_store"] == 1
    assert {unit.partition("-")[0] for unit in done_units(example)} == {"encode", "identify", "select", "answer"}
    assert not damaged(example)


def test_every_answer_reads_with_its_cell_and_utterance(example: StoreFolder) -> None:
    answers = open_answers(example, MODEL, CORPUS, complete=True).load()
    assert dict(answers.sizes) == {"cell": 7, "utterance": 10, "emotion": 5}
    assert answers.utterance.values.tolist() == list(read_utterances(example, CORPUS, "evaluation").row_by_id())
    assert set(answers.selector.values) == {"", "RND", "ConAct"}
    assert np.isfinite(answers.logprob).all()


def test_effects_and_baselines_are_computed_from_it(example: StoreFolder) -> None:
    measured = [measure(open_answers(example, MODEL, CORPUS).load(), EffectSettings(draws=10))]
    assert {row.condition.selector for row in effect_rows(measured)} == {"RND", "ConAct"}
    assert [row.utterances for row in baseline_rows(measured)] == [10, 2, 2, 2, 2, 2]


def test_its_masks_follow_from_its_counts(example: StoreFolder) -> None:
    counts, masks = open_counts(example, MODEL, CORPUS), open_masks(example, MODEL).load()
    correct = (counts.outcome == 1).values & (counts.emotion.values[counts.answer.values] == counts.label.values)
    emotions = tuple(map(str, counts.emotion.values))
    chosen = identification_set(counts.label.values, correct, emotions, cap=4)
    blocks = ((block.K, block.T) for block in count_blocks(example, MODEL, CORPUS))
    firing, sums = sum_blocks(chosen, blocks, parts=[0, 1, 2]), CountSums(chosen, parts=[0, 1, 2])
    sum_counts([sums], example, MODEL, CORPUS)  # the example is older than the sums of its shards
    assert np.array_equal(sums.firing().K, firing.K) and not list(example.data.rglob("K_correct"))
    scores = conact(firing)
    for code, emotion in enumerate(emotions):
        stored = masks.member[(masks.selector == "ConAct") & (masks.source_emotion == emotion)].values[0]
        assert np.array_equal(stored, top_neurons(scores[[code]], budget=102)[0])

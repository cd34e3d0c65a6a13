"""Cells of several studies run once; units and rounds depend on the plan alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.sweep.forecast import forecast
from esn_dist.sweep.load import load_sweep
from esn_dist.sweep.plan import plan
from esn_dist.sweep.spec import Sweep
from esn_dist.sweep.units import EmotionPool, cells_per_block, identify_units, next_identification_round
from esn_dist.terms import SHARD_ROWS

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"


@pytest.fixture
def quickstart() -> Sweep:
    return load_sweep(QUICKSTART)


def test_the_quickstart_has_a_baseline_and_51_cells_per_corpus(quickstart: Sweep) -> None:
    planned = plan(quickstart)
    for corpus in ("studio", "room", "phone"):
        cells = planned.cells_of("tiny-qwen2.5-omni", corpus)
        # 1 baseline + 2 interventions x (5 seeds of RND + 4 selectors x 5 emotions)
        assert len(cells) == 1 + 2 * (5 + 4 * 5)
        assert cells[0].intervention == "baseline"
        assert all(cell.intervention != "baseline" for cell in cells[1:])


def test_rnd_masks_look_at_no_corpus_and_are_shared(quickstart: Sweep) -> None:
    random = [mask for mask in plan(quickstart).masks if mask.selector == "RND"]
    assert len(random) == 5
    assert {(mask.corpus, mask.emotion) for mask in random} == {("", "")}


def test_a_second_study_of_the_same_cells_costs_nothing(quickstart: Sweep) -> None:
    twice = quickstart.model_copy(update={"studies": {**quickstart.studies, "again": quickstart.studies["table1"]}})
    assert plan(twice).cells == plan(quickstart).cells
    assert forecast(twice).studies[1].shared == forecast(twice).studies[1].cells
    assert forecast(twice).answers == forecast(quickstart).answers == 153 * 200


def test_ids_keep_their_meaning_and_tell_meanings_apart(quickstart: Sweep) -> None:
    planned = plan(quickstart)
    assert len({(c.model, c.corpus, c.id) for c in planned.cells}) == len(planned.cells)
    assert len({m.id for m in planned.masks}) == len(planned.masks)
    assert plan(load_sweep(QUICKSTART)).cells == planned.cells
    pools = tuple(
        c.model_copy(update={"identification": c.identification.model_copy(update={"size": 7})})
        for c in quickstart.corpora
    )
    other = plan(quickstart.model_copy(update={"corpora": pools}))
    ours, theirs = ({m.id for m in p.masks if m.selector != "RND"} for p in (planned, other))
    assert not ours & theirs


@given(
    st.dictionaries(st.sampled_from("abcde"), st.tuples(st.integers(0, 300), st.floats(0, 1)), min_size=1),
    st.integers(1, 150),
)
def test_rounds_stop_at_the_cap_or_at_the_end_and_visit_prefixes(
    emotions: dict[str, tuple[int, float]], cap: int
) -> None:
    visited, correct = dict.fromkeys(emotions, 0), dict.fromkeys(emotions, 0)
    for _ in range(200):
        pools = {e: EmotionPool(n, visited[e], correct[e]) for e, (n, _) in emotions.items()}
        ranges = next_identification_round(pools, cap)
        if not ranges:
            break
        for emotion, rows in ranges.items():
            assert rows.start == visited[emotion] < rows.stop <= emotions[emotion][0]
            assert rows.start % SHARD_ROWS == 0
            visited[emotion] = rows.stop
            correct[emotion] = round(emotions[emotion][1] * rows.stop)
    else:
        pytest.fail("identification never ends")
    for emotion, (available, _) in emotions.items():
        assert correct[emotion] >= cap or visited[emotion] == available


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60))
def test_a_round_s_shards_are_dealt_once(shards: list[int]) -> None:
    units = identify_units("m", "c", shards)
    assert [shard for unit in units for shard in unit.shards] == shards
    assert len({unit.id for unit in units}) == len(units)


@given(st.integers(1, 100_000))
def test_a_block_of_answers_is_at_least_one_cell(utterances: int) -> None:
    assert 1 <= cells_per_block(utterances) <= 64

"""The published counts are the published ones, and a pool is what splits, limits and the held-out set leave of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from esn_dist.sweep.candidate_counts import LabelCounts, total_candidates
from esn_dist.sweep.corpus_spec import CorpusSpec
from esn_dist.sweep.corpus_types import CORPUS_TYPES, parse_corpus

NOWHERE = LabelCounts(None, "nothing at x")


def spec(type: str, **options: Any) -> CorpusSpec:
    return parse_corpus({"name": "c", "type": type, "path": "x", **options})


@pytest.mark.parametrize(
    ("type", "totals"),
    [
        # Sums over the release that seven public loaders agree on; MELD's own csv files; MSP-Podcast 2.0, Table VI.
        ("iemocap", {"neutral": 1708, "frustration": 1849, "anger": 1103, "sadness": 1084, "excitement": 1041,
                     "joy": 595}),
        ("meld", {"anger": 1607, "joy": 2308, "neutral": 6436, "sadness": 1002, "surprise": 1636, "disgust": 361,
                  "fear": 358}),
        ("msp-podcast", {"anger": 36260 - 400, "joy": 58684 - 400, "neutral": 79117 - 400 * 1, "sadness": 24629 - 400,
                         "surprise": 6245 - 400}),
    ],
)  # fmt: skip
def test_published_counts_add_up_to_the_published_totals(type: str, totals: dict[str, int]) -> None:
    counts: Counter[str] = Counter()
    published = CORPUS_TYPES[type].published
    assert published
    for of_split in published.splits.values():
        counts.update(of_split)
    assert counts == Counter(totals)


@pytest.mark.parametrize(
    ("given", "pool"),
    [
        (spec("iemocap"), 1103 + 1849 + 595 + 1708 + 1084 - 5 * 200),
        (spec("iemocap", excited_is_joy=True), 1103 + 1849 + 595 + 1041 + 1708 + 1084 - 5 * 200),
        (spec("iemocap", identification={"candidates": 400}), 4 * 400 + 395),
        (spec("iemocap", evaluation={"splits": ["Session5"], "per_emotion": 50},
              identification={"splits": ["Session1"]}), 229 + 280 + 135 + 384 + 194),
        (spec("meld"), 1607 + 2308 + 6436 + 1002 + 1636 - 5 * 200),
        (spec("meld", evaluation={"splits": ["test"]}, identification={"splits": ["train", "dev"]}),
         1262 + 1906 + 5180 + 794 + 1355),
        (spec("msp-podcast"), 22609 + 37048 + 51149 + 18256 + 3220),
    ],
)  # fmt: skip
def test_the_pool_is_what_splits_limits_and_the_held_out_set_leave(given: CorpusSpec, pool: int) -> None:
    assert total_candidates(given, NOWHERE)[0] == pool
    assert total_candidates(given, NOWHERE)[1].startswith("published counts of ")


def test_a_split_known_only_within_a_sum_is_unknown(tmp_path: Path) -> None:
    development = spec("msp-podcast", identification={"splits": ["Development"]})
    pool, source = total_candidates(development, NOWHERE)
    assert pool is None and source.startswith("unknown: ")
    both = spec("msp-podcast", identification={"splits": ["Development", "Test1"]}, evaluation={"splits": ["Test2"]})
    assert total_candidates(both, NOWHERE)[0] == 12713 + 18435 + 20775 + 5392 + 2231


def test_what_was_counted_comes_before_what_was_published() -> None:
    emotions = ("anger", "frustration", "joy", "neutral", "sadness")
    counted = LabelCounts({("Session1", emotion): 300 for emotion in emotions}, "counted in x")
    assert total_candidates(spec("iemocap"), counted) == (500, "counted in x")


def test_without_any_counts_the_sweep_s_own_limit_is_the_estimate() -> None:
    custom = spec("manifest", emotions=["anger", "joy"])
    assert total_candidates(custom, NOWHERE) == (None, "unknown: nothing at x, and the sweep sets no `candidates`")
    limited = spec("manifest", emotions=["anger", "joy"], identification={"candidates": 9})
    assert total_candidates(limited, NOWHERE) == (18, "as the sweep asks")

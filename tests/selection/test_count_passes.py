"""A pass by sums gives the integers that a pass over every row gives, and reads no rows that it does not need."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esn_dist.selection.count_passes import sum_counts
from esn_dist.selection.count_sums import CountSums, sum_blocks
from esn_dist.selection.firing import Firing
from esn_dist.selection.identification_sets import (
    IdentificationSet,
    NothingIdentified,
    counted_utterances,
    identification_sets,
)
from esn_dist.store import create, write
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import count_blocks
from esn_dist.store.tables import ExclusionTable, UtteranceTable, in_whole_shards
from esn_dist.sweep.keys import IdentificationSize
from esn_dist.terms import SHARD_ROWS

EMOTIONS = ("anger", "joy", "sadness")
LAYERS, WIDTH, EXPERTS = 2, 6, 3
EACH = {"one": 80, "two": 40}  # utterances of each emotion: three shards (the last of 16), and two (of 8)
MODELS = ("dense", "moe")
PARTS = ([0], [0, 1], [0, 1, 2], [2, 0])
WRONG, UNPARSED, NO_COUNTS = "wrong", "unparsed", "no counts"

Pattern = Callable[[str, int, int], str]
"""What became of utterance n of an emotion of a corpus: "" where it was answered correctly."""


@dataclass(frozen=True)
class Made:
    """A store, and the rows that count towards each requested sum, from a given pattern."""

    folder: StoreFolder

    def write(self, pattern: Pattern, corpora: Sequence[str] = tuple(EACH), models: Sequence[str] = MODELS) -> None:
        for corpus in corpora:
            shards = -(-EACH[corpus] // SHARD_ROWS)
            for model in models:
                for code in range(len(EMOTIONS)):
                    rows = slice(code * shards * SHARD_ROWS, (code + 1) * shards * SHARD_ROWS)
                    write.write_counts(self.folder, model, corpus, rows, **counts(model, corpus, code, pattern))

    def chosen(
        self, model: str, corpora: Sequence[str], size: IdentificationSize, cap: int | None
    ) -> list[IdentificationSet]:
        utterances = [counted_utterances(self.folder, model, corpus) for corpus in corpora]
        return identification_sets(utterances, EMOTIONS, size, [cap] * len(corpora))

    def passed(self, model: str, corpora: Sequence[str], sums: Sequence[Sequence[CountSums]]) -> None:
        for index, corpus in enumerate(corpora):
            sum_counts([of_size[index] for of_size in sums], self.folder, model, corpus)

    def slow(self, model: str, corpus: str, chosen: IdentificationSet, parts: Sequence[int]) -> Firing:
        """The obvious way: every row."""
        return sum_blocks(chosen, ((b.K, b.positions) for b in count_blocks(self.folder, model, corpus)), parts)


def counts(model: str, corpus: str, code: int, pattern: Pattern) -> dict[str, Any]:
    """Counts and answers of all utterances of an emotion."""
    count, random = EACH[corpus], np.random.default_rng([len(corpus), ord(corpus[0]), code])
    became = np.array([pattern(corpus, code, n) for n in range(count)])
    T = np.stack([random.integers(1, 900, count), random.integers(1, 90, count), random.integers(0, 3, count)], axis=1)
    sent = random.integers(0, 400, (count, 3, LAYERS, EXPERTS))
    positions = np.repeat(sent, WIDTH // EXPERTS, axis=3) if model == "moe" else T[:, :, None, None]
    K = random.binomial(positions, 0.4, (count, 3, LAYERS, WIDTH))
    none = became == NO_COUNTS
    K[none], T[none], sent[none] = 0, 65535, 65535
    outcome = np.select([became == UNPARSED, none], [2, 3], 1)
    answer = np.select([became == "", became == WRONG], [code, (code + 1) % len(EMOTIONS)], -1)
    routed = {"T_expert": sent} if model == "moe" else {}
    response = {
        "answer": answer,
        "outcome": outcome,
        "logprob": np.zeros((count, 3), np.float32),
        "text": ["1"] * count,
    }
    return {"K": K, "T": T, **routed, **response}


def make(root: Path) -> Made:
    folder = StoreFolder(root)
    create.create_root(folder, {})
    for corpus, each in EACH.items():
        rows = [(f"{e}{n}", "s", e, (1, 2, 3), "", "", 1, "0") for e in EMOTIONS for n in range(each)]
        pool = in_whole_shards(UtteranceTable.from_rows(rows), EMOTIONS)
        create.add_corpus(folder, corpus, EMOTIONS, UtteranceTable.empty(), pool, ExclusionTable.empty(), {})
    for model in MODELS:
        create.add_model(folder, model, LAYERS, WIDTH, {}, EXPERTS if model == "moe" else 0)
        for corpus in EACH:
            create.add_counts(folder, model, corpus)
    return Made(folder)


def usual(corpus: str, code: int, n: int) -> str:
    """Nobody of joy's first shard is right; some rows have no counts or no answer; the corpora differ."""
    if code == 1 and n < SHARD_ROWS:
        return WRONG
    return {0: NO_COUNTS, 1: UNPARSED, 2: WRONG}.get((n * 7 + code + len(corpus) * ord(corpus[0])) % 9, "")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Read it only."""
    store = make(tmp_path_factory.mktemp("store") / "sweep")
    store.write(usual)
    return store


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Made:
    """A copy to harm."""
    shutil.copytree(made.folder.root, tmp_path / "copied")
    return Made(StoreFolder(tmp_path / "copied"))


def same(a: Firing, b: Firing) -> None:
    assert a.emotions == b.emotions
    np.testing.assert_array_equal(a.K, b.K)
    np.testing.assert_array_equal(a.T, b.T)
    assert a.K.dtype == b.K.dtype == np.int64


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize(
    ("corpora", "cap"), [(("one",), None), (("one",), 25), (("two",), 7), (("one", "two"), None), (("two", "one"), 30)]
)
def test_every_size_sums_to_what_its_rows_sum_to(
    made: Made, model: str, parts: list[int], corpora: tuple[str, ...], cap: int | None
) -> None:
    """Below, at and above what a shard holds, the pool, and the cap; all from one pass."""
    auto = made.chosen(model, corpora, "auto", cap)[0].size
    sizes: list[IdentificationSize] = ["auto", 1, 21, 22, 23, auto - 1, auto, auto + 1, 1_000]
    chosen = [made.chosen(model, corpora, size, cap) for size in sizes]
    sums = [[CountSums(identified, parts) for identified in of_size] for of_size in chosen]
    made.passed(model, corpora, sums)
    for of_size, summed in zip(chosen, sums, strict=True):
        for corpus, identified, sums_of_one in zip(corpora, of_size, summed, strict=True):
            same(sums_of_one.firing(), made.slow(model, corpus, identified, parts))


def test_emotions_that_only_one_corpus_has_are_passed_over(made: Made) -> None:
    utterances = [counted_utterances(made.folder, "dense", corpus) for corpus in EACH]
    chosen = identification_sets(utterances, ("sadness", "anger"), "auto", [None, None])
    sums = [CountSums(identified, [0, 1]) for identified in chosen]
    made.passed("dense", tuple(EACH), [sums])
    for corpus, identified, sums_of_one in zip(EACH, chosen, sums, strict=True):
        same(sums_of_one.firing(), made.slow("dense", corpus, identified, [0, 1]))


def test_wrongly_answered_utterances_count_too_where_they_are_chosen(made: Made) -> None:
    utterances = counted_utterances(made.folder, "dense", "one")
    everybody = replace(utterances, correct=np.full(len(utterances.label), True))
    (chosen,) = identification_sets([everybody], EMOTIONS, 60, [None])
    sums = CountSums(chosen, [0, 1, 2])
    made.passed("dense", ["one"], [[sums]])
    same(sums.firing(), made.slow("dense", "one", chosen, [0, 1, 2]))


@given(
    right=st.lists(st.booleans(), min_size=120, max_size=120),
    shares=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=6, max_size=6),
    sizes=st.lists(st.one_of(st.just("auto"), st.integers(1, 45)), min_size=1, max_size=3, unique=True),
    cap=st.one_of(st.none(), st.integers(1, 45)),
)
@settings(max_examples=20)
def test_whatever_was_answered_the_sums_are_those_of_the_rows(
    patterned: Made, right: list[bool], shares: list[float], sizes: list[IdentificationSize], cap: int | None
) -> None:
    """Each shard of corpus `two` has none, some or all of its utterances answered correctly."""

    def pattern(_: str, code: int, n: int) -> str:
        share = shares[2 * code + n // SHARD_ROWS]
        return "" if share == 1.0 or (share == 0.5 and right[40 * code + n]) else (WRONG, NO_COUNTS)[n % 5 == 3]

    patterned.write(pattern, ["two"], ["dense"])
    try:
        chosen = [patterned.chosen("dense", ["two"], size, cap) for size in sizes]
    except NothingIdentified:
        return
    sums = [[CountSums(rows_of, [0, 1, 2]) for rows_of in of_size] for of_size in chosen]
    patterned.passed("dense", ["two"], sums)
    for (identified,), (sums_of_one,) in zip(chosen, sums, strict=True):
        same(sums_of_one.firing(), patterned.slow("dense", "two", identified, [0, 1, 2]))


@pytest.fixture(scope="module")
def patterned(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A store that each example writes anew."""
    return make(tmp_path_factory.mktemp("store") / "patterned")


def rows_of(made: Made, model: str, corpus: str) -> dict[int, Path]:
    """The file of each shard's rows of K."""
    files = (made.folder.data / f"models/{model}/{corpus}/counts/K").glob("c.*")
    return {int(file.name.split(".")[1]): file for file in files}


def fate(
    chosen: IdentificationSet, right: npt.NDArray[np.bool_], shard_of_row: npt.NDArray[np.int64]
) -> dict[int, str]:
    """By shard: "none", "all" or "some" of its correct utterances are chosen."""
    fates = {}
    for shard in np.unique(shard_of_row):
        here = shard_of_row == shard
        picked, correct = int((chosen.code[here] >= 0).sum()), int(right[here].sum())
        fates[int(shard)] = "none" if not picked else "all" if picked == correct else "some"
    return fates


@pytest.mark.parametrize("model", MODELS)
def test_only_shards_that_a_size_cuts_through_are_read_row_by_row(copied: Made, model: str) -> None:
    """Rows of all other shards are spoiled, and the sums of those that are cut through: neither is looked at."""
    (chosen,) = copied.chosen(model, ["one"], 30, None)
    expected = copied.slow(model, "one", chosen, [0, 1])
    utterances = counted_utterances(copied.folder, model, "one")
    shard = np.concatenate([block.rows.start // SHARD_ROWS * np.ones(len(block.T), np.int64)
                            for block in count_blocks(copied.folder, model, "one")])  # fmt: skip
    fates = fate(chosen, utterances.correct, shard)
    assert sorted(fates.values()) == ["all"] * 3 + ["none"] * 3 + ["some"] * 3
    for number, file in rows_of(copied, model, "one").items():
        if fates[number] != "some":
            file.write_bytes(b"spoiled")
        if fates[number] != "all":
            (file.parents[1] / "K_correct" / file.name).write_bytes(b"spoiled")
    sums = CountSums(chosen, [0, 1])
    copied.passed(model, ["one"], [[sums]])
    same(sums.firing(), expected)
    cut = next(file for number, file in rows_of(copied, model, "one").items() if fates[number] == "some")
    cut.write_bytes(b"spoiled")
    with pytest.raises((ValueError, RuntimeError)):
        copied.passed(model, ["one"], [[CountSums(chosen, [0, 1])]])


def test_a_store_without_sums_is_read_row_by_row(copied: Made) -> None:
    shutil.rmtree(copied.folder.data / "models/dense/one/counts/K_correct")
    (copied.folder.data / "models/dense/two/counts/K_correct/c.0.0.0.0").unlink()  # as an older version writes on
    for corpus in EACH:
        (chosen,) = copied.chosen("dense", [corpus], "auto", None)
        sums = CountSums(chosen, [0, 1, 2])
        copied.passed("dense", [corpus], [[sums]])
        same(sums.firing(), copied.slow("dense", corpus, chosen, [0, 1, 2]))


def test_a_sum_of_several_emotions_or_of_nobody_and_passing_over_somebody_are_refused() -> None:
    chosen = IdentificationSet(EMOTIONS[:2], (1, 1), None, 1, np.array([0, 1, -1], np.int8))
    T, K = np.ones((3, 1), np.uint16), np.zeros((1, 1, 1), np.uint32)
    with pytest.raises(ValueError, match="one sum cannot be that of 2 emotions"):
        CountSums(chosen, [0]).add_summed(K, T)
    with pytest.raises(ValueError, match="2 rows from 0 on are passed over"):
        CountSums(chosen, [0]).skip(2)
    unwritten = np.full((1, 1), 65535, np.uint16)
    with pytest.raises(ValueError, match="utterance 0 were never written"):
        CountSums(chosen, [0]).add_summed(K, unwritten)

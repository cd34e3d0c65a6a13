"""Sets are balanced and disjoint, and depend neither on listing order nor on how clips are validated in batches."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.corpora import Clip, Exclusion, Reason, SetRule, Sets, Utterance, draw
from esn_dist.errors import UserError

EMOTIONS = ("anger", "joy", "sadness")


def utterance(number: int, emotion: str, split: str = "dev", speaker: str = "s") -> Utterance:
    return Utterance(f"u{number}", speaker, emotion, split, Path(f"{number}.wav"))


def validator(invalid: Callable[[Utterance], bool]) -> Callable[[Sequence[Utterance]], list[Clip | Exclusion]]:
    def result(item: Utterance) -> Clip | Exclusion:
        return Exclusion(item.id, item.emotion, Reason.SILENT, "") if invalid(item) else Clip(item, 16_000, item.id)

    return lambda batch: [result(item) for item in batch]


def drawn(
    corpus: Sequence[Utterance],
    evaluation: SetRule,
    identification: SetRule,
    *,
    invalid: Callable[[Utterance], bool] = lambda item: False,
    speaker_disjoint: bool = False,
    seed: int = 0,
) -> Sets:
    return draw(
        corpus,
        EMOTIONS,
        seed=seed,
        corpus="c",
        evaluation=evaluation,
        identification=identification,
        validate=validator(invalid),
        speaker_disjoint=speaker_disjoint,
    )


def ids(clips: Sequence[Clip]) -> list[str]:
    return [clip.utterance.id for clip in clips]


def forty(split: str = "dev") -> list[Utterance]:
    return [utterance(number, EMOTIONS[number % 3], split, speaker=f"s{number % 7}") for number in range(120)]


corpora = st.builds(
    lambda extra: [
        utterance(number, emotion, split, f"s{number % 5}") for number, (emotion, split) in enumerate(extra)
    ],
    st.lists(st.tuples(st.sampled_from((*EMOTIONS, "other")), st.sampled_from(("dev", "test"))), max_size=60),
)


@given(
    extra=corpora,
    sizes=st.tuples(st.integers(1, 3), st.none() | st.integers(0, 5)),
    split=st.none() | st.just(("dev",)),
    invalid=st.sets(st.integers(0, 59).map("u{}".format)),
    seed=st.integers(0, 9),
    order=st.randoms(use_true_random=False),
)
def test_sets_are_balanced_disjoint_and_independent_of_the_listing_order(
    extra: list[Utterance],
    sizes: tuple[int, int | None],
    split: tuple[str, ...] | None,
    invalid: set[str],
    seed: int,
    order: random.Random,
) -> None:
    sure = [utterance(1_000 + number, EMOTIONS[number % 3], "dev") for number in range(12)]
    corpus = [*extra, *sure]
    rules = SetRule(("dev",), sizes[0]), SetRule(split, sizes[1])
    sets = drawn(corpus, *rules, invalid=lambda item: item.id in invalid, seed=seed)

    evaluated, pooled = set(ids(sets.evaluation)), set(ids(sets.identification))
    excluded = [item.id for item in sets.exclusions]
    assert [clip.utterance.emotion for clip in sets.evaluation] == [e for e in EMOTIONS for _ in range(sizes[0])]
    assert all(clip.utterance.split == "dev" for clip in sets.evaluation)
    assert len(sets.identification) == len(pooled) and not pooled & evaluated
    assert len(excluded) == len(set(excluded)) and set(excluded) <= invalid
    assert not invalid & (evaluated | pooled)
    allowed = Counter(
        item.emotion
        for item in corpus
        if (split is None or item.split in split) and item.id not in evaluated and item.id not in invalid
    )
    pool = Counter(clip.utterance.emotion for clip in sets.identification)
    wanted = len(corpus) if sizes[1] is None else sizes[1]
    assert {emotion: pool[emotion] for emotion in EMOTIONS} == {e: min(wanted, allowed[e]) for e in EMOTIONS}

    order.shuffle(corpus)
    assert drawn(corpus, *rules, invalid=lambda item: item.id in invalid, seed=seed) == sets


@given(gone=st.integers(0, 119), size=st.integers(1, 12))
def test_a_lost_utterance_changes_the_sets_only_by_its_replacement(gone: int, size: int) -> None:
    rules = SetRule(None, size), SetRule(None, size)
    before = drawn(forty(), *rules)
    after = drawn([item for item in forty() if item.id != f"u{gone}"], *rules)
    for old, new in (
        (ids(before.evaluation), ids(after.evaluation)),
        (ids(before.identification), ids(after.identification)),
    ):
        kept, added = [i for i in old if i in new], [i for i in new if i not in old]
        assert kept == [i for i in new if i in old], "those in both keep their order"
        assert len(added) <= 1


@given(invalid=st.sets(st.integers(0, 119).map("u{}".format), max_size=60))
def test_an_invalid_candidate_is_replaced_as_if_it_were_not_listed(invalid: set[str]) -> None:
    rules = SetRule(None, 5), SetRule(None, 7)
    sure = [utterance(1_000 + number, EMOTIONS[number % 3]) for number in range(36)]
    replaced = drawn([*forty(), *sure], *rules, invalid=lambda item: item.id in invalid)
    absent = drawn([item for item in [*forty(), *sure] if item.id not in invalid], *rules)
    assert (replaced.evaluation, replaced.identification) == (absent.evaluation, absent.identification)


def test_no_clip_is_validated_twice_or_beyond_the_size_of_the_sets() -> None:
    validated: list[str] = []
    results = validator(lambda item: int(item.id[1:]) % 5 == 0)

    def validate(batch: Sequence[Utterance]) -> list[Clip | Exclusion]:
        validated.extend(item.id for item in batch)
        return results(batch)

    sets = draw(
        forty(),
        EMOTIONS,
        seed=0,
        corpus="c",
        evaluation=SetRule(None, 10),
        identification=SetRule(None, 20),
        validate=validate,
    )
    assert sorted(validated) == sorted(
        [*ids(sets.evaluation), *ids(sets.identification), *(i.id for i in sets.exclusions)]
    )
    assert len(validated) == len(set(validated))


def test_another_seed_or_corpus_draws_other_sets() -> None:
    rules = SetRule(None, 10), SetRule(None, 10)
    assert ids(drawn(forty(), *rules, seed=0).evaluation) != ids(drawn(forty(), *rules, seed=1).evaluation)


def test_speaker_disjoint_keeps_speakers_of_the_evaluation_set_out_of_identification() -> None:
    corpus = [*forty(), *(utterance(500 + number, EMOTIONS[number % 3], speaker="") for number in range(30))]
    corpus += [utterance(600 + number, EMOTIONS[number % 3], speaker="alone") for number in range(3)]
    rules = SetRule(None, 1), SetRule(None, None)
    sets = drawn(corpus, *rules, speaker_disjoint=True)
    evaluated = {clip.utterance.speaker for clip in sets.evaluation} - {""}
    assert evaluated
    assert not evaluated & {clip.utterance.speaker for clip in sets.identification}
    assert evaluated & {clip.utterance.speaker for clip in drawn(corpus, *rules).identification}
    unnamed = sum(clip.utterance.speaker == "" for clip in sets.identification)
    assert sets.unknown_speakers == unnamed > 0


def test_too_few_for_the_evaluation_set_says_how_many_there_are() -> None:
    corpus = [*forty(), *(utterance(900 + number, "joy", "test") for number in range(9))]
    with pytest.raises(UserError) as listed:
        drawn(corpus, SetRule(("test",), 9), SetRule(None, None))
    assert "but only anger 0, sadness 0 are available." in str(listed.value)
    with pytest.raises(UserError) as valid:
        drawn(corpus, SetRule(("dev",), 38), SetRule(None, None), invalid=lambda item: item.id in {"u0", "u3", "u6"})
    assert "but only anger 37 are available and valid. Excluded: anger: silent 3" in str(valid.value)
    assert "at most 37" in str(valid.value)


def test_an_emotion_without_identification_candidates_is_refused_unless_the_size_is_0() -> None:
    with pytest.raises(UserError, match="'anger' is left in 'c' for identification"):
        drawn(forty(), SetRule(None, 40), SetRule(None, None))
    assert drawn(forty(), SetRule(None, 40), SetRule(None, 0)).identification == ()


def test_an_unknown_split_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'dew'\. Did you mean 'dev'\?"):
        drawn(forty(), SetRule(("dev",), 1), SetRule(("dew",), 1))

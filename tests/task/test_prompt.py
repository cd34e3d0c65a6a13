"""The question is the paper's, and an utterance always has the same option order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from esn_dist.task.prompt import option_order, question

EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")


def test_the_question_is_the_papers_listing() -> None:
    assert question(("joy", "anger")) == (
        "Listen to the speech clip and choose the correct emotion of the speaker:\n"
        "\n"
        "1: joy\n"
        "2: anger\n"
        "\n"
        "Answer with the option index only."
    )


@given(st.integers(), st.text(max_size=5), st.text(max_size=9))
def test_an_order_is_a_permutation_and_the_same_each_time(seed: int, corpus: str, utterance: str) -> None:
    order = option_order(EMOTIONS, seed, corpus, utterance)
    assert sorted(order) == sorted(EMOTIONS)
    assert order == option_order(tuple(reversed(EMOTIONS)), seed, corpus, utterance)


def test_no_position_is_favoured() -> None:
    orders = [option_order(EMOTIONS, 1, "corpus", str(number)) for number in range(2_000)]
    for position in range(len(EMOTIONS)):
        counts = Counter(order[position] for order in orders)
        # 2,000 draws at 1 in 5: 400 each, standard deviation 18.
        assert all(310 < count < 490 for count in counts.values())


def test_seed_corpus_and_utterance_each_matter() -> None:
    keys = [(seed, corpus, str(n)) for n in range(40) for seed, corpus in ((1, "a"), (2, "a"), (1, "b"))]
    orders = [option_order(EMOTIONS, *key) for key in keys]
    assert any(orders[i] != orders[i + 1] for i in range(0, 120, 3))
    assert any(orders[i] != orders[i + 2] for i in range(0, 120, 3))
    assert len(set(orders)) > 60

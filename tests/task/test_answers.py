"""The answer cascade (A.2), as a table of examples and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esn_dist.task.answers import normalised, read_answer
from esn_dist.terms import OUTCOMES, Outcome

OPTIONS = ("anger", "joy", "neutral", "sadness", "surprise")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("3", 3),
        (" 3.\n", 3),
        ("**3**", 3),
        ("Option 3: neutral", 3),
        ("option2", 2),
        ("It could be 1, but I choose 4.", 4),
        ("\uff13", 3),  # full-width
        ("\u2462", 3),  # circled
        ("03", 3),
        ("2, not 7", 2),  # the last integer that is in range
        ("7", None),
        ("0", None),
        ("12", None),  # neither 1 nor 2: a maximal run of digits
        ("9" * 5000, None),
        ("12 ... joy", 2),  # out of range does not stop the later steps
        ("11, so three", 3),
        ("Two", 2),
        ("two, yes, TWO", 2),
        ("one or two", None),
        ("six", None),  # not a number of these options
        ("one of them is joy", 2),  # an emotion word makes the number word ambiguous
        ("someone", None),
        ("Joy", 2),
        ("The speaker sounds _joy_.", 2),
        ("joyful", None),
        ("neutral, or rather SADNESS!", 4),
        ("sad", None),
        ("", None),
        ("...", None),
        ("I cannot tell.", None),
    ],
)
def test_the_cascade_parses(text: str, option: int | None) -> None:
    assert read_answer(text, OPTIONS) == option


def test_outcomes_are_the_store_s_categories() -> None:
    assert [(outcome.value, outcome.name.lower()) for outcome in Outcome] == list(enumerate(OUTCOMES))


def test_an_option_inside_a_longer_option_does_not_win() -> None:
    assert read_answer("Very  happy", ("happy", "very happy")) == 2
    assert read_answer("happy", ("very happy", "happy")) == 2


def test_options_are_normalised_like_the_answer() -> None:
    assert read_answer("it is joy/happiness", ("Anger", "Joy/Happiness")) == 2
    assert read_answer("c'est la colère", ("COLE\u0300RE", "joie")) == 1


def test_an_option_that_looks_like_a_pattern_is_only_a_word() -> None:
    assert read_answer("anger", ("a.*r", "anger")) == 2


@given(st.text(max_size=60), st.permutations(OPTIONS))
def test_any_text_gives_an_option_or_none(text: str, options: list[str]) -> None:
    answer = read_answer(text, options)
    assert answer is None or 1 <= answer <= len(options)


@given(
    st.permutations(OPTIONS), st.sampled_from(OPTIONS), st.sampled_from(["{}", "It is {}.", "**{}**", "{}\n\n", "<{}>"])
)
def test_an_option_word_alone_is_its_number_in_any_order(options: list[str], word: str, frame: str) -> None:
    assert read_answer(frame.format(word), options) == options.index(word) + 1


@given(st.lists(st.integers(0, 99), min_size=1, max_size=6))
def test_the_last_integer_in_range_wins_whatever_surrounds_it(numbers: list[int]) -> None:
    in_range = [number for number in numbers if 1 <= number <= len(OPTIONS)]
    expected = in_range[-1] if in_range else None
    assert read_answer(" then ".join(map(str, numbers)), OPTIONS) == expected


@given(st.text(max_size=40))
def test_normalising_leaves_single_spaces_and_bare_ends(text: str) -> None:
    result = normalised(text)
    assert result == result.strip() and "  " not in result
    assert not result or (result[0] not in ".,!*" and result[-1] not in ".,!*")

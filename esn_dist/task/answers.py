"""Reads the chosen option out of a generated text, by the paper's cascade (A.2): integer, number word, emotion word.

Knows neither labels nor correctness: a text that names no option is None, and what it counts for is decided elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def read_answer(text: str, options: Sequence[str]) -> int | None:
    """The 1-based option that `text` names, or None (invalid), given the option words as printed to the model.

    1. Integers are maximal runs of digits; the last one within 1..len(options) wins. One out of range is no such
       integer: it neither wins nor stops the steps that follow.
    2. Number words count when the text holds exactly one distinct number word of the options and no option word.
    3. Option words match as whole words ("joyful" is not "joy"); the last one wins.
    """
    answer = normalised(text)
    words = [normalised(option) for option in options]
    return _last_integer(answer, len(words)) or _number_word(answer, words) or _last_option_word(answer, words)


def normalised(text: str) -> str:
    """NFKC (full-width digits become digits), lower case, single spaces, no punctuation at either end."""
    spaced = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    inside = [i for i, character in enumerate(spaced) if unicodedata.category(character)[0] not in "PSZ"]
    return spaced[inside[0] : inside[-1] + 1] if inside else ""


def _last_integer(answer: str, options: int) -> int | None:
    in_range = {str(number): number for number in range(1, options + 1)}
    found = [in_range.get(run.lstrip("0")) for run in re.findall("[0-9]+", answer)]
    return next((number for number in reversed(found) if number), None)


def _number_word(answer: str, words: Sequence[str]) -> int | None:
    numbers = NUMBER_WORDS[: len(words)]
    named = set(_whole_words(answer, numbers))
    if len(named) != 1 or _whole_words(answer, words):
        return None
    return numbers.index(named.pop()) + 1


def _last_option_word(answer: str, words: Sequence[str]) -> int | None:
    found = _whole_words(answer, words)
    return words.index(found[-1]) + 1 if found else None


def _whole_words(answer: str, words: Iterable[str]) -> list[str]:
    """Those of `words` that stand in `answer`, in order; the longest where several begin at one place."""
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    if not longest_first:
        return []
    # An underscore is markdown's emphasis, not part of a word, so \b would be too strict.
    pattern = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])"
    return re.findall(pattern, answer)

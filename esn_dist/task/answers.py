"""Parses the chosen option from a generated text, by the paper's cascade (A.2): integer, number word, option word.

Knows neither labels nor correctness: a text that names no option gives None, and the caller decides how that counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def read_answer(text: str, options: Sequence[str]) -> int | None:
    """The 1-based option that `text` names, or None (invalid), given the option words as printed to the model.

    1. Integers are maximal runs of digits; the last one within 1..len(options) wins. Integers out of range are
       ignored: the later steps still apply.
    2. A number word wins if the text contains exactly one distinct number word of the options and no option word.
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
    numbers = [in_range.get(run.lstrip("0")) for run in re.findall("[0-9]+", answer)]
    return next((number for number in reversed(numbers) if number), None)


def _number_word(answer: str, words: Sequence[str]) -> int | None:
    numbers = NUMBER_WORDS[: len(words)]
    distinct = set(_whole_words(answer, numbers))
    if len(distinct) != 1 or _whole_words(answer, words):
        return None
    return numbers.index(distinct.pop()) + 1


def _last_option_word(answer: str, words: Sequence[str]) -> int | None:
    matches = _whole_words(answer, words)
    return words.index(matches[-1]) + 1 if matches else None


def _whole_words(answer: str, words: Iterable[str]) -> list[str]:
    """Occurrences of `words` in `answer`, in order; where several begin at the same position, the longest."""
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    if not longest_first:
        return []
    # An underscore is emphasis in Markdown, not part of a word, so \b would be too strict.
    pattern = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])"
    return re.findall(pattern, answer)

"""The paper's multiple-choice question (listing 1, A.3) with a fixed random option order per utterance.

Knows neither models nor audio: this is the text of the user's turn; an adapter adds the clip.
"""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.seeds import shuffled

LEAD = "Listen to the speech clip and choose the correct emotion of the speaker:"
CLOSING = "Answer with the option index only."


def question(words: Sequence[str]) -> str:
    """The text of the user's turn; `words[i]` is printed as option i + 1.

    Empty lines separate lead, options and closing, as in the paper (A.3).
    """
    options = "\n".join(f"{number}: {word}" for number, word in enumerate(words, start=1))
    return f"{LEAD}\n\n{options}\n\n{CLOSING}"


def option_order(emotions: Sequence[str], seed: int, corpus: str, utterance: str) -> tuple[str, ...]:
    """The emotions in this utterance's option order, the same in every cell, so that comparisons are paired.

    It is derived from a hash of (seed, corpus, utterance) and depends on nothing else.
    """
    return tuple(shuffled(emotions, "option order", seed, corpus, utterance))

"""The paper's multiple-choice question (listing 1, A.3) with a fixed random option order per utterance.

Knows neither models nor audio: the text here is what stands beside the clip in the user's turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from esn_dist.seeds import shuffled

LEAD = "Listen to the speech clip and choose the correct emotion of the speaker:"
CLOSING = "Answer with the option index only."


def question(words: Sequence[str]) -> str:
    """The text of the user's turn; `words[i]` is printed as option i + 1.

    The paper prints an empty line between lead, options and closing (A.3).
    """
    options = "\n".join(f"{number}: {word}" for number, word in enumerate(words, start=1))
    return f"{LEAD}\n\n{options}\n\n{CLOSING}"


def option_order(emotions: Sequence[str], seed: int, corpus: str, utterance: str) -> tuple[str, ...]:
    """The emotions in the order in which this utterance shows them, the same in every cell (paired comparisons).

    Derived from a hash of (seed, corpus, utterance): neither workers nor time nor other utterances change it.
    """
    return tuple(shuffled(emotions, "option order", seed, corpus, utterance))

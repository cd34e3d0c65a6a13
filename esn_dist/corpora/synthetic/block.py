"""The unit of synthesis: a short run of utterances, spoken in a fixed order by a process of its own.

espeak carries a state (the phase of its pitch flutter) from one sentence to the next for as long as its process lives,
so a sentence is reproducible only together with all that was said before it since the process began.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from esn_dist.corpora.synthetic.speech import EMOTIONS, Utterance

BLOCK = 16  # numbers a block; with five emotions 80 utterances, about a second of work


@dataclass(frozen=True, slots=True)
class Block:
    """Utterances `first` to `end` - 1 of every emotion; `first` is a multiple of `BLOCK`."""

    condition: str
    split: str
    first: int
    end: int

    def utterances(self) -> list[Utterance]:
        """In speaking order: a block cut short at its end says the rest in the same bytes."""
        return [
            Utterance(self.condition, self.split, emotion, number)
            for number in range(self.first, self.end)
            for emotion in EMOTIONS
        ]

    def arguments(self, corpus: Path, seed: int) -> list[str]:
        """The command line from which `python -m esn_dist.corpora.synthetic` rebuilds the block."""
        return [str(corpus), str(seed), self.condition, self.split, str(self.first), str(self.end)]


def wav(corpus: Path, utterance: Utterance) -> Path:
    """Where the utterance's samples lie."""
    return corpus / "wav" / f"{utterance.id}.wav"


def replace(path: Path, content: bytes) -> None:
    """Write so that `path` either does not exist or is whole, whatever kills us."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    os.replace(partial, path)

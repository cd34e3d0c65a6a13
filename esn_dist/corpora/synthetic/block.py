"""The unit of synthesis: a short series of utterances, synthesised in a fixed order by a separate process.

espeak keeps a state (the phase of its pitch flutter) from one sentence to the next while its process lives, so a
sentence is reproducible only after the same earlier sentences of that process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from esn_dist.corpora.synthetic.speech import SYNTHETIC_EMOTIONS, SpeechKey

BLOCK = 16  # numbers per block; with five emotions 80 utterances, about a second of work


@dataclass(frozen=True, slots=True)
class SpeechBlock:
    """Utterances `first` to `end` - 1 of every emotion; `first` is a multiple of `BLOCK`."""

    condition: str
    split: str
    first: int
    end: int

    def utterances(self) -> list[SpeechKey]:
        """In the order of synthesis; a block that is cut short at its end gives the same bytes for the rest."""
        return [
            SpeechKey(self.condition, self.split, emotion, number)
            for number in range(self.first, self.end)
            for emotion in SYNTHETIC_EMOTIONS
        ]

    def arguments(self, corpus: Path, seed: int) -> list[str]:
        """The command line from which `python -m esn_dist.corpora.synthetic` rebuilds the block."""
        return [str(corpus), str(seed), self.condition, self.split, str(self.first), str(self.end)]


def wav(corpus: Path, utterance: SpeechKey) -> Path:
    """The utterance's file."""
    return corpus / "wav" / f"{utterance.id}.wav"


def replace(path: Path, content: bytes) -> None:
    """Write atomically: after a kill, `path` either does not exist or is complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    os.replace(partial, path)

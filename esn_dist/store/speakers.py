"""Whether the evaluation and identification sets of a corpus share speakers, as far as the store can tell.

Knows no corpora on disk and no reports.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_corpus, read_utterances


@dataclass(frozen=True, slots=True)
class Speakers:
    """The speakers of one corpus.

    Attributes:
        disjoint_requested: whether the sweep requires disjoint speakers (`identification.speaker_disjoint`).
        shared: identification utterances by a speaker of the evaluation set; empty where `disjoint_requested`.
        unknown_evaluation, unknown_identification: utterances without a named speaker.
        evaluation, identification: sizes of the sets.
    """

    corpus: str
    disjoint_requested: bool
    shared: tuple[str, ...]
    unknown_evaluation: tuple[str, ...]
    unknown_identification: tuple[str, ...]
    evaluation: int
    identification: int

    def as_json(self) -> dict[str, Any]:
        """For `status --json`; `asked` repeats `disjoint_requested` for readers of earlier versions."""
        return {**asdict(self), "asked": self.disjoint_requested}


def read_speakers(folder: StoreFolder, corpus: str) -> Speakers:
    """The speakers of one corpus. Raises `UserError` where the store does not have it."""
    evaluation, identification = (_speakers(folder, corpus, name) for name in ("evaluation", "identification"))
    evaluation_speakers = set(evaluation.values()) - {""}
    sweep = read_corpus(folder, corpus).get("identification", {})
    return Speakers(
        corpus=corpus,
        disjoint_requested=bool(sweep.get("speaker_disjoint", False)),
        shared=tuple(name for name, speaker in identification.items() if speaker in evaluation_speakers),
        unknown_evaluation=tuple(name for name, speaker in evaluation.items() if not speaker),
        unknown_identification=tuple(name for name, speaker in identification.items() if not speaker),
        evaluation=len(evaluation),
        identification=len(identification),
    )


def _speakers(folder: StoreFolder, corpus: str, set_name: str) -> dict[str, str]:
    """Speaker of each utterance id, without pad rows."""
    table = read_utterances(folder, corpus, set_name)
    return {name: table.speaker[row] for name, row in table.row_by_id().items()}

"""Whether the speakers of a corpus's two sets are kept apart, read from the store: who is shared, who is unknown.

Knows no corpora on disk and no reports: columns of the stored sets in, names and counts out.
"""

from __future__ import annotations

from dataclasses import dataclass

from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_corpus, read_utterances


@dataclass(frozen=True, slots=True)
class Speakers:
    """Of one corpus.

    Attributes:
        asked: whether the sweep wanted them apart (`identification.speaker_disjoint`).
        shared: identification utterances that a speaker of the evaluation set speaks; none where `asked`.
        unknown_evaluation, unknown_identification: utterances without a speaker, of which nothing can be promised.
        evaluation, identification: sizes of the sets.
    """

    corpus: str
    asked: bool
    shared: tuple[str, ...]
    unknown_evaluation: tuple[str, ...]
    unknown_identification: tuple[str, ...]
    evaluation: int
    identification: int


def read_speakers(folder: StoreFolder, corpus: str) -> Speakers:
    """The speakers of one corpus. Raises `UserError` where the store does not have it."""
    evaluation, identification = (_speakers(folder, corpus, name) for name in ("evaluation", "identification"))
    held_out = set(evaluation.values()) - {""}
    return Speakers(
        corpus=corpus,
        asked=bool(read_corpus(folder, corpus).get("identification", {}).get("speaker_disjoint", False)),
        shared=tuple(name for name, speaker in identification.items() if speaker in held_out),
        unknown_evaluation=tuple(name for name, speaker in evaluation.items() if not speaker),
        unknown_identification=tuple(name for name, speaker in identification.items() if not speaker),
        evaluation=len(evaluation),
        identification=len(identification),
    )


def _speakers(folder: StoreFolder, corpus: str, set_name: str) -> dict[str, str]:
    """Speaker by utterance, pad rows left out."""
    table = read_utterances(folder, corpus, set_name)
    return {name: table.speaker[row] for name, row in table.named().items()}

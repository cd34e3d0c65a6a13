"""For which utterances the speakers of evaluation and identification sets are not known to differ, as text and rows.

Knows no stores: facts of `store.speakers` in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from esn_dist.store.speakers import Speakers


def speaker_text(speakers: Speakers) -> str:
    """One sentence on one corpus."""
    if not speakers.disjoint_requested:
        count = f"{len(speakers.shared):,} of {speakers.identification:,}"
        shared = f"{count} identification utterances have a speaker of it"
        return f"{speakers.corpus}: identification may share speakers with the evaluation set; {shared}"
    unknown = [
        (len(speakers.unknown_evaluation), speakers.evaluation, "evaluation"),
        (len(speakers.unknown_identification), speakers.identification, "identification"),
    ]
    counts = " and ".join(f"{n:,} of {total:,} {name} utterances" for n, total, name in unknown if n)
    verified = f"{speakers.corpus}: no named speaker of the evaluation set is in identification"
    return verified + (f"; unverified, because the speaker is unknown: {counts}" if counts else "")


def unverified_speakers(all_speakers: Iterable[Speakers]) -> list[str]:
    """The sentences on corpora whose speakers should be disjoint, and are not known to be."""
    return [
        speaker_text(speakers)
        for speakers in all_speakers
        if speakers.disjoint_requested and (speakers.unknown_evaluation or speakers.unknown_identification)
    ]


def speaker_rows(all_speakers: Iterable[Speakers]) -> Iterator[dict[str, Any]]:
    """One row per utterance whose speaker is, or may be, in both sets."""
    for speakers in all_speakers:
        reasons = [("identification", "speaker of the evaluation set", speakers.shared)]
        reasons += [("evaluation", "unknown speaker", speakers.unknown_evaluation)]
        reasons += [("identification", "unknown speaker", speakers.unknown_identification)]
        for set_name, reason, utterances in reasons:
            requested = speakers.disjoint_requested  # `asked` is the name of earlier versions
            head = {"corpus": speakers.corpus, "disjoint_requested": requested, "asked": requested}
            head |= {"set": set_name, "reason": reason}
            yield from ({**head, "utterance": name} for name in utterances)

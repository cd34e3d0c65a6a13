"""For which utterances a sweep's promise of separate speakers could not be kept, in words and as rows.

Knows no stores: facts of `store.speakers` in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from esn_dist.store.speakers import Speakers


def speaker_line(found: Speakers) -> str:
    """One sentence on one corpus."""
    if not found.asked:
        shared = f"{len(found.shared):,} of {found.identification:,} identification utterances are theirs"
        return f"{found.corpus}: speakers of the evaluation set were not kept out of identification; {shared}"
    unknown = [
        (len(found.unknown_evaluation), found.evaluation, "evaluation"),
        (len(found.unknown_identification), found.identification, "identification"),
    ]
    but = " and ".join(f"{n:,} of {total:,} {name} utterances" for n, total, name in unknown if n)
    promised = f"{found.corpus}: no named speaker of the evaluation set is in identification"
    return promised + (f"; of unknown speaker, so not promised: {but}" if but else "")


def unpromised(found: Iterable[Speakers]) -> list[str]:
    """The sentences on corpora whose speakers should be apart, and are not known to be."""
    return [speaker_line(one) for one in found if one.asked and (one.unknown_evaluation or one.unknown_identification)]


def speaker_rows(found: Iterable[Speakers]) -> Iterator[dict[str, Any]]:
    """One row per utterance whose speaker is, or may be, in both sets."""
    for one in found:
        reasons = [("identification", "speaker of the evaluation set", one.shared)]
        reasons += [("evaluation", "unknown speaker", one.unknown_evaluation)]
        reasons += [("identification", "unknown speaker", one.unknown_identification)]
        for set_name, reason, utterances in reasons:
            head = {"corpus": one.corpus, "asked": one.asked, "set": set_name, "reason": reason}
            yield from ({**head, "utterance": name} for name in utterances)

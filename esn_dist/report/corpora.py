"""Surveys of a sweep's corpora as text and as JSON: counts, hours, exclusions with reasons, the sets drawn.

Knows nothing of how a corpus is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from esn_dist.corpora.survey import SetSize, Survey
from esn_dist.corpora.utterance import Exclusion, Reason, tally
from esn_dist.report.numbers import decimal_text

EXAMPLES = 3  # of each reason, in the text; JSON has them all


def corpora_facts(surveys: Sequence[Survey]) -> list[dict[str, Any]]:
    """The surveys as plain values. Labels outside the study are counted, other exclusions are listed.

    `fit`, `set_aside` and `set_aside_by_reason` are old names of `valid`, `excluded` and `excluded_by_reason`.
    """
    return [_facts(survey) for survey in surveys]


def corpora_text(surveys: Sequence[Survey]) -> str:
    """The surveys for a terminal, one table per corpus."""
    return "\n\n".join("\n".join(_lines(survey)) for survey in surveys)


def _facts(survey: Survey) -> dict[str, Any]:
    by_reason = dict(Counter(str(item.reason) for item in survey.exclusions))
    listed = [
        {"id": item.id, "emotion": item.emotion, "reason": str(item.reason), "detail": item.detail}
        for item in survey.exclusions
        if item.reason is not Reason.LABEL_EXCLUDED
    ]
    return {
        "name": survey.name,
        "type": survey.type,
        "root": str(survey.root) if survey.root else None,
        "decoded": survey.decoded,
        "splits": {
            split: {
                emotion: {
                    "listed": survey.listed.get((split, emotion), 0),
                    "valid": survey.valid.get((split, emotion), 0),
                    "fit": survey.valid.get((split, emotion), 0),
                    "hours": round(survey.hours.get((split, emotion), 0.0), 6),
                }
                for emotion in survey.emotions
            }
            for split in _splits(survey)
        },
        "excluded_by_reason": by_reason,
        "set_aside_by_reason": by_reason,
        "labels_excluded": dict(_other_labels(survey)),
        "excluded": listed,
        "set_aside": listed,
        "evaluation": _set_facts(survey.evaluation),
        "identification": _set_facts(survey.identification),
        "speaker_disjoint": survey.speaker_disjoint,
        "notes": list(survey.notes),
        "problem": survey.problem or None,
    }  # fmt: skip


def _set_facts(size: SetSize | None) -> dict[str, Any] | None:
    return asdict(size) if size else None


def _lines(survey: Survey) -> list[str]:
    lines = [f"{survey.name} ({survey.type}{f', {survey.root}' if survey.root else ''})"]
    if survey.listed:
        lines += _aligned(_table(survey))
        lines += _exclusions(survey)
        how = (
            "every clip was decoded"
            if survey.decoded
            else "only headers were read: silence and damage are not detected"
        )
        lines.append(f"  validated: {how}")
    if survey.evaluation and survey.identification:
        lines.append(f"  evaluation set: {_sizes(survey.evaluation)}")
        lines.append(f"  identification pool: {_sizes(survey.identification)}")
        lines += _speakers(survey, survey.evaluation, survey.identification)
    lines += [f"  note: {note}" for note in survey.notes]
    if survey.problem:
        lines += ["  error: " + survey.problem.replace("\n", "\n  ")]
    return lines


def _table(survey: Survey) -> list[list[str]]:
    """Rows by emotion: listed utterances of each split, their sum, valid utterances and their hours."""
    splits = _splits(survey)
    head = ["", *(split or "(no split)" for split in splits), *(["all"] if len(splits) > 1 else []), "valid", "hours"]
    return [head, *(_row(survey, splits, [emotion], emotion) for emotion in survey.emotions),
            _row(survey, splits, survey.emotions, "all")]  # fmt: skip


def _row(survey: Survey, splits: Sequence[str], emotions: Sequence[str], title: str) -> list[str]:
    by_split = [sum(survey.listed.get((split, emotion), 0) for emotion in emotions) for split in splits]
    keys = [(split, emotion) for split in splits for emotion in emotions]
    valid = sum(survey.valid.get(key, 0) for key in keys)
    hours = sum(survey.hours.get(key, 0.0) for key in keys)
    listed = [*by_split, sum(by_split)] if len(splits) > 1 else by_split
    return [title, *(f"{count:,}" for count in [*listed, valid]), decimal_text(hours, 2 if hours >= 0.1 else 4)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return ["  " + "  ".join(row) for row in padded]


def _exclusions(survey: Survey) -> list[str]:
    if not survey.exclusions:
        return ["  excluded: none"]
    lines = [f"  excluded: {len(survey.exclusions):,}"]
    if labels := _other_labels(survey):
        lines.append(f"    {Reason.LABEL_EXCLUDED}: {labels.total():,} ({tally(labels)})")
    for reason in Reason:
        items = [item for item in survey.exclusions if item.reason is reason]
        if items and reason is not Reason.LABEL_EXCLUDED:
            lines.append(f"    {reason}: {len(items):,} ({_examples(items)})")
    return lines


def _examples(items: Sequence[Exclusion]) -> str:
    more = f"; {len(items) - EXAMPLES:,} more with --json" if len(items) > EXAMPLES else ""
    return "; ".join(f"{item.id}: {item.detail}" for item in items[:EXAMPLES]) + more


def _other_labels(survey: Survey) -> Counter[str]:
    return Counter(item.emotion for item in survey.exclusions if item.reason is Reason.LABEL_EXCLUDED)


def _sizes(size: SetSize) -> str:
    counts: Mapping[str, int] = size.by_emotion
    each = ", ".join(f"{emotion} {count:,}" for emotion, count in counts.items())
    return f"{sum(counts.values()):,} ({each})"


def _speakers(survey: Survey, evaluation: SetSize, identification: SetSize) -> list[str]:
    """Whether sets are speaker-disjoint, and for how many clips this cannot be promised."""
    if not survey.speaker_disjoint:
        return ["  speakers: may be in both sets (identification.speaker_disjoint is false)"]
    unknown = [(evaluation, "evaluation set"), (identification, "identification pool")]
    unnamed = [f"{size.unknown_speakers:,} of the {title}" for size, title in unknown if size.unknown_speakers]
    promised = "no named speaker of the evaluation set is in the identification pool"
    exception = f"; of unknown speaker, so not promised: {' and '.join(unnamed)}" if unnamed else ""
    return [f"  speakers: {promised}{exception}"]


def _splits(survey: Survey) -> list[str]:
    return sorted({split for split, _ in survey.listed})

"""Draws the sets of a corpus: a class-balanced evaluation set, held out first, then the identification pool.

Pure: the result depends neither on how clips are validated and batched nor on the order in which they are listed.
Knows nothing of audio, files or processes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from esn_dist.corpora.utterance import Clip, Exclusion, Utterance, tally
from esn_dist.errors import UserError, did_you_mean
from esn_dist.seeds import shuffled

Validator = Callable[[Sequence[Utterance]], Sequence[Clip | Exclusion]]
"""Validates utterances, results in their order. It is called in rounds, never for more than the sets still need."""

OrderedCandidates = Mapping[str, Sequence[Utterance]]
"""Candidates of each emotion in the seeded order."""


@dataclass(frozen=True, slots=True)
class SetRule:
    """Which splits a set is drawn from, and its size.

    Attributes:
        splits: the corpus's splits it may use; None for all of them.
        per_emotion: clips of each emotion; None for all there are (identification only).
    """

    splits: tuple[str, ...] | None
    per_emotion: int | None


@dataclass(frozen=True, slots=True)
class Sets:
    """The sets of one corpus, each ordered by emotion and inside an emotion by the seeded order.

    `exclusions` are the invalid candidates, in the order of the visit.
    """

    evaluation: tuple[Clip, ...]
    identification: tuple[Clip, ...]
    exclusions: tuple[Exclusion, ...]

    @property
    def unknown_speakers(self) -> int:
        """Identification clips without a speaker: for them, `speaker_disjoint` cannot be promised."""
        return sum(not clip.utterance.speaker for clip in self.identification)


def draw(
    utterances: Sequence[Utterance],
    emotions: Sequence[str],
    *,
    seed: int,
    corpus: str,
    evaluation: SetRule,
    identification: SetRule,
    validate: Validator,
    speaker_disjoint: bool = False,
) -> Sets:
    """Draw the evaluation set, then the identification set from the remaining utterances.

    Candidates of an emotion are visited in the order of hash(seed, corpus, set, id). An invalid candidate is recorded
    and the next one replaces it. With `speaker_disjoint`, identification leaves out the evaluation set's speakers.

    Raises:
        UserError: a split that no utterance has; too few utterances of an emotion for the evaluation set; an emotion
            without any utterance for identification, unless its size is 0.
    """
    _check_splits(utterances, corpus, (evaluation, identification))
    candidates = _candidate_order(utterances, emotions, evaluation.splits, seed, corpus, "evaluation")
    _check_enough(candidates, evaluation, corpus, listed=True)
    held_out, excluded = _fill(candidates, evaluation.per_emotion, validate)
    _check_enough(held_out, evaluation, corpus, listed=False, excluded=excluded)

    evaluated = _concatenated(held_out)
    visited = {clip.utterance.id for clip in evaluated} | {item.id for item in excluded}
    speakers = {clip.utterance.speaker for clip in evaluated} - {""} if speaker_disjoint else set()
    rest = [item for item in utterances if item.id not in visited and item.speaker not in speakers]
    candidates = _candidate_order(rest, emotions, identification.splits, seed, corpus, "identification")
    pool, also_excluded = _fill(candidates, identification.per_emotion, validate)
    if identification.per_emotion != 0:
        _check_some(pool, corpus, speaker_disjoint)
    return Sets(evaluated, _concatenated(pool), (*excluded, *also_excluded))


def _candidate_order(
    utterances: Sequence[Utterance],
    emotions: Sequence[str],
    splits: Collection[str] | None,
    seed: int,
    corpus: str,
    purpose: str,
) -> OrderedCandidates:
    by_emotion: dict[str, list[Utterance]] = {emotion: [] for emotion in emotions}
    for utterance in utterances:
        if utterance.emotion in by_emotion and (splits is None or utterance.split in splits):
            by_emotion[utterance.emotion].append(utterance)
    return {
        emotion: shuffled(listed, seed, corpus, purpose, key=lambda utterance: utterance.id)
        for emotion, listed in by_emotion.items()
    }


def _fill(
    candidates: OrderedCandidates, per_emotion: int | None, validate: Validator
) -> tuple[dict[str, list[Clip]], tuple[Exclusion, ...]]:
    """The first `per_emotion` valid clips of each emotion in its order, and the invalid candidates before them.

    Each round validates exactly the number of clips that are missing, so no clip after the last
    accepted one is validated. The visited candidates are a prefix of each order, whatever the batches are.
    """
    valid: dict[str, list[Clip]] = {emotion: [] for emotion in candidates}
    excluded: dict[str, list[Exclusion]] = {emotion: [] for emotion in candidates}
    positions = dict.fromkeys(candidates, 0)
    while True:
        batch: list[Utterance] = []
        for emotion, ordered in candidates.items():
            missing = len(ordered) if per_emotion is None else per_emotion - len(valid[emotion])
            batch += ordered[positions[emotion] : positions[emotion] + missing]
            positions[emotion] += missing
        if not batch:
            return valid, tuple(item for items in excluded.values() for item in items)
        for utterance, result in zip(batch, validate(batch), strict=True):
            if isinstance(result, Clip):
                valid[utterance.emotion].append(result)
            else:
                excluded[utterance.emotion].append(result)


def _concatenated(clips: Mapping[str, Sequence[Clip]]) -> tuple[Clip, ...]:
    return tuple(clip for emotion in clips.values() for clip in emotion)


def _check_splits(utterances: Sequence[Utterance], corpus: str, rules: Sequence[SetRule]) -> None:
    present = {utterance.split for utterance in utterances}
    for rule in rules:
        for split in rule.splits or ():
            if split not in present:
                raise UserError(
                    f"no utterance of the corpus {corpus!r} is in the split {split!r}.{did_you_mean(split, present)}",
                    expected=f"one of {', '.join(sorted(map(repr, present)))}",
                )


def _check_enough(
    candidates: Mapping[str, Sequence[object]],
    rule: SetRule,
    corpus: str,
    *,
    listed: bool,
    excluded: Sequence[Exclusion] = (),
) -> None:
    if rule.per_emotion is None:
        raise ValueError("an evaluation set needs a size: without one, nothing is left for identification")
    short = Counter({emotion: len(items) for emotion, items in candidates.items() if len(items) < rule.per_emotion})
    if not short:
        return
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in excluded:
        reasons[item.emotion][item.reason] += 1
    losses = "; ".join(f"{emotion}: {tally(reasons[emotion])}" for emotion in short if reasons[emotion])
    raise UserError(
        f"the evaluation set of {corpus!r} needs {rule.per_emotion} utterances of each emotion, but only "
        f"{tally(short)} are {'available' if listed else 'available and valid'}."
        + (f" Excluded: {losses}." if losses else ""),
        expected=f"at least {rule.per_emotion} of each"
        + (f" in the splits {', '.join(map(repr, rule.splits))}" if rule.splits is not None else ""),
        fix=f"set at most {min(short.values())} of each emotion, or allow more splits",
    )


def _check_some(pool: Mapping[str, Sequence[Clip]], corpus: str, speaker_disjoint: bool) -> None:
    for emotion, clips in pool.items():
        if not clips:
            because = " or is spoken by a speaker of the evaluation set" if speaker_disjoint else ""
            raise UserError(
                f"no utterance of {emotion!r} is left in {corpus!r} for identification: each is in the evaluation set, "
                f"outside the splits, excluded{because}",
                fix="make the evaluation set smaller, or allow more splits",
            )

"""The drawing of sets: a class-balanced evaluation set, held out first, and the identification pool from the rest.

Pure: who judges the clips, how many at once and in what order they are listed leaves no trace in the result.
Knows nothing of audio, files or processes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from esn_dist.corpora.utterance import Clip, SetAside, Utterance, tally
from esn_dist.errors import UserError, did_you_mean
from esn_dist.seeds import shuffled

Judge = Callable[[Sequence[Utterance]], Sequence[Clip | SetAside]]
"""Verdicts on utterances, in their order. It is asked in rounds, and never for more than the sets still lack."""

Queues = Mapping[str, Sequence[Utterance]]
"""Candidates of each emotion in the seeded order."""


@dataclass(frozen=True, slots=True)
class SetRule:
    """Where a set is drawn from and how large it is.

    Attributes:
        splits: the corpus's splits it may use; None for all of them.
        per_emotion: clips of each emotion; None for all there are (identification only).
    """

    splits: tuple[str, ...] | None
    per_emotion: int | None


@dataclass(frozen=True, slots=True)
class Sets:
    """The sets of one corpus, each emotion-major and in the seeded order inside an emotion.

    `set_aside` are the candidates that were visited and passed over, in the order of the visit.
    """

    evaluation: tuple[Clip, ...]
    identification: tuple[Clip, ...]
    set_aside: tuple[SetAside, ...]

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
    judge: Judge,
    speaker_disjoint: bool = False,
) -> Sets:
    """Draw the evaluation set, then the identification set from what is left.

    Candidates of an emotion are visited in the order of hash(seed, corpus, set, id); one that the judge sets aside is
    recorded and the next takes its place. With `speaker_disjoint`, speakers of the evaluation set are left out of
    identification.

    Raises:
        UserError: a split that no utterance has; too few utterances of an emotion for the evaluation set; an emotion
            without any utterance for identification, where some were asked for.
    """
    _check_splits(utterances, corpus, (evaluation, identification))
    queues = _queues(utterances, emotions, evaluation.splits, seed, corpus, "evaluation")
    _check_enough(queues, evaluation, corpus, listed=True)
    held_out, passed_over = _fill(queues, evaluation.per_emotion, judge)
    _check_enough(held_out, evaluation, corpus, listed=False, passed_over=passed_over)

    evaluated = _flat(held_out)
    visited = {clip.utterance.id for clip in evaluated} | {item.id for item in passed_over}
    speakers = {clip.utterance.speaker for clip in evaluated} - {""} if speaker_disjoint else set()
    rest = [item for item in utterances if item.id not in visited and item.speaker not in speakers]
    queues = _queues(rest, emotions, identification.splits, seed, corpus, "identification")
    pool, also_passed_over = _fill(queues, identification.per_emotion, judge)
    if identification.per_emotion != 0:
        _check_some(pool, corpus, speaker_disjoint)
    return Sets(evaluated, _flat(pool), (*passed_over, *also_passed_over))


def _queues(
    utterances: Sequence[Utterance],
    emotions: Sequence[str],
    splits: Collection[str] | None,
    seed: int,
    corpus: str,
    purpose: str,
) -> Queues:
    by_emotion: dict[str, list[Utterance]] = {emotion: [] for emotion in emotions}
    for utterance in utterances:
        if utterance.emotion in by_emotion and (splits is None or utterance.split in splits):
            by_emotion[utterance.emotion].append(utterance)
    return {
        emotion: shuffled(candidates, seed, corpus, purpose, key=lambda utterance: utterance.id)
        for emotion, candidates in by_emotion.items()
    }


def _fill(queues: Queues, per_emotion: int | None, judge: Judge) -> tuple[dict[str, list[Clip]], tuple[SetAside, ...]]:
    """The first `per_emotion` fit clips of each queue, and whoever was passed over on the way.

    Each round asks for exactly what is still lacking, so that no clip beyond the last one taken is ever judged:
    what was visited is a prefix of each queue whatever the judge's batches are.
    """
    fit: dict[str, list[Clip]] = {emotion: [] for emotion in queues}
    unfit: dict[str, list[SetAside]] = {emotion: [] for emotion in queues}
    at = dict.fromkeys(queues, 0)
    while True:
        asked: list[Utterance] = []
        for emotion, queue in queues.items():
            lacking = len(queue) if per_emotion is None else per_emotion - len(fit[emotion])
            asked += queue[at[emotion] : at[emotion] + lacking]
            at[emotion] += lacking
        if not asked:
            return fit, tuple(item for items in unfit.values() for item in items)
        for utterance, verdict in zip(asked, judge(asked), strict=True):
            if isinstance(verdict, Clip):
                fit[utterance.emotion].append(verdict)
            else:
                unfit[utterance.emotion].append(verdict)


def _flat(clips: Mapping[str, Sequence[Clip]]) -> tuple[Clip, ...]:
    return tuple(clip for emotion in clips.values() for clip in emotion)


def _check_splits(utterances: Sequence[Utterance], corpus: str, rules: Sequence[SetRule]) -> None:
    found = {utterance.split for utterance in utterances}
    for rule in rules:
        for split in rule.splits or ():
            if split not in found:
                raise UserError(
                    f"no utterance of the corpus {corpus!r} is in the split {split!r}.{did_you_mean(split, found)}",
                    expected=f"one of {', '.join(sorted(map(repr, found)))}",
                )


def _check_enough(
    found: Mapping[str, Sequence[object]],
    rule: SetRule,
    corpus: str,
    *,
    listed: bool,
    passed_over: Sequence[SetAside] = (),
) -> None:
    if rule.per_emotion is None:
        raise ValueError("an evaluation set has a size: all that there is would leave nothing for identification")
    short = Counter({emotion: len(items) for emotion, items in found.items() if len(items) < rule.per_emotion})
    if not short:
        return
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in passed_over:
        reasons[item.emotion][item.reason] += 1
    losses = "; ".join(f"{emotion}: {tally(reasons[emotion])}" for emotion in short if reasons[emotion])
    raise UserError(
        f"the evaluation set of {corpus!r} wants {rule.per_emotion} utterances of each emotion and "
        f"{'finds' if listed else 'finds fit'} only: {tally(short)}." + (f" Set aside: {losses}." if losses else ""),
        expected=f"at least {rule.per_emotion} of each"
        + (f" in the splits {', '.join(map(repr, rule.splits))}" if rule.splits is not None else ""),
        fix=f"ask for at most {min(short.values())} of each emotion, or allow more splits",
    )


def _check_some(pool: Mapping[str, Sequence[Clip]], corpus: str, speaker_disjoint: bool) -> None:
    for emotion, clips in pool.items():
        if not clips:
            because = " or is spoken by a speaker of the evaluation set" if speaker_disjoint else ""
            raise UserError(
                f"no utterance of {emotion!r} is left in {corpus!r} for identification: each is in the evaluation set, "
                f"outside the splits, set aside{because}",
                fix="make the evaluation set smaller, or allow more splits",
            )

"""The scan: sets drawn by decoding the files, on any number of processes, with the same result on each number.

Knows nothing of later steps; it is the one pass over a corpus before any array exists.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from esn_dist.corpora.loader import ProgressCallback
from esn_dist.corpora.probe import probe
from esn_dist.corpora.sets import SetRule, Sets, Validator, draw
from esn_dist.corpora.subprocess_decode import child_processes, interrupts_blocked
from esn_dist.corpora.utterance import Clip, Exclusion, Utterance
from esn_dist.sweep.corpus_spec import Limits

Probe = Callable[[Utterance], Clip | Exclusion]

logger = logging.getLogger(__name__)


def scan(
    utterances: Sequence[Utterance],
    emotions: Sequence[str],
    *,
    seed: int,
    corpus: str,
    evaluation: SetRule,
    identification: SetRule,
    speaker_disjoint: bool = False,
    limits: Limits | None = None,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> Sets:
    """`draw` with `probe` as its validator.

    Args:
        limits: None for the protocol's.
        workers: processes; 1 validates in this process.
        progress: called with (clips validated, clips expected); the expected number grows by the exclusions.

    Raises:
        UserError: as `draw`.
    """
    expected = _expected(utterances, emotions, evaluation, identification)
    with _mapping(workers) as map_over:
        validate = _validator(partial(map_over, partial(probe, limits=limits or Limits())), expected, progress)
        sets = draw(
            utterances, emotions, seed=seed, corpus=corpus, evaluation=evaluation, identification=identification,
            validate=validate, speaker_disjoint=speaker_disjoint,
        )  # fmt: skip
    logger.info(
        "corpus %s: %d evaluation and %d identification utterances, %d excluded",
        corpus, len(sets.evaluation), len(sets.identification), len(sets.exclusions),
    )  # fmt: skip
    return sets


def probe_all(
    utterances: Sequence[Utterance], probe: Probe, *, workers: int = 1, progress: ProgressCallback | None = None
) -> list[Clip | Exclusion]:
    """The result of `probe` for each of `utterances`, in their order."""
    results = []
    with _mapping(workers) as map_over:
        for result in map_over(probe, utterances):
            results.append(result)
            if progress is not None:
                progress(len(results), len(utterances))
    return results


def _validator(
    probe_batch: Callable[[Sequence[Utterance]], Iterable[Clip | Exclusion]],
    expected: int,
    progress: ProgressCallback | None,
) -> Validator:
    """`probe_batch` as a validator that reports the clips of all its calls to `progress`."""
    visited = 0

    def validate(batch: Sequence[Utterance]) -> list[Clip | Exclusion]:
        nonlocal visited
        total = max(expected, visited + len(batch))
        results = []
        for result in probe_batch(batch):
            results.append(result)
            visited += 1
            if progress is not None:
                progress(visited, total)
        return results

    return validate


def _expected(
    utterances: Sequence[Utterance], emotions: Sequence[str], evaluation: SetRule, identification: SetRule
) -> int:
    """Clips that will be validated if none is excluded."""
    listed = Counter(utterance.emotion for utterance in utterances)
    if evaluation.per_emotion is None or identification.per_emotion is None:
        return sum(listed[emotion] for emotion in emotions)
    wanted = evaluation.per_emotion + identification.per_emotion
    return sum(min(wanted, listed[emotion]) for emotion in emotions)


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[[Probe, Sequence[Utterance]], Iterable[Clip | Exclusion]]]:
    """An ordered map over `workers` processes; leaving the context, by Ctrl-C too, cancels what has not begun."""
    if workers == 1:
        yield map
        return
    pool = child_processes(workers)

    def map_over(function: Probe, utterances: Sequence[Utterance]) -> Iterable[Clip | Exclusion]:
        with interrupts_blocked():  # all is submitted here, so all processes start here
            # Small chunks: clips differ in length, and progress advances by one chunk.
            return pool.map(function, utterances, chunksize=8)

    try:
        yield map_over
    finally:
        pool.shutdown(cancel_futures=True)

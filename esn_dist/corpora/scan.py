"""The scan: sets drawn by decoding real files, on as many processes as are given, with the same result on any number.

Knows nothing of what comes after; it is the one pass over a corpus before any array exists.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

from esn_dist.corpora.probe import probe
from esn_dist.corpora.sets import SetRule, Sets, draw
from esn_dist.corpora.subprocess_decode import follow_parent
from esn_dist.corpora.utterance import Clip, SetAside, Utterance
from esn_dist.sweep.corpus_spec import Limits

Progress = Callable[[int, int], None]
"""Called with (clips judged, clips expected); the expected grow where clips are set aside."""

Probe = Callable[[Utterance], Clip | SetAside]


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
    progress: Progress | None = None,
) -> Sets:
    """`draw` with `probe` as its judge. `limits` None: the protocol's; `workers` 1: in this process.

    Raises:
        UserError: as `draw`.
    """
    expected = _expected(utterances, emotions, evaluation, identification)
    visited = 0
    with _mapping(workers) as map_over:

        def judge(asked: Sequence[Utterance]) -> list[Clip | SetAside]:
            nonlocal visited
            total = max(expected, visited + len(asked))
            verdicts = []
            for verdict in map_over(partial(probe, limits=limits or Limits()), asked):
                verdicts.append(verdict)
                visited += 1
                if progress is not None:
                    progress(visited, total)
            return verdicts

        return draw(
            utterances,
            emotions,
            seed=seed,
            corpus=corpus,
            evaluation=evaluation,
            identification=identification,
            judge=judge,
            speaker_disjoint=speaker_disjoint,
        )


def judged(
    utterances: Sequence[Utterance], judge: Probe, *, workers: int = 1, progress: Progress | None = None
) -> list[Clip | SetAside]:
    """The verdict of `judge` on every one of `utterances`, in their order."""
    verdicts = []
    with _mapping(workers) as map_over:
        for verdict in map_over(judge, utterances):
            verdicts.append(verdict)
            if progress is not None:
                progress(len(verdicts), len(utterances))
    return verdicts


def _expected(
    utterances: Sequence[Utterance], emotions: Sequence[str], evaluation: SetRule, identification: SetRule
) -> int:
    """Clips that will be judged if none is set aside."""
    listed = Counter(utterance.emotion for utterance in utterances)
    if evaluation.per_emotion is None or identification.per_emotion is None:
        return sum(listed[emotion] for emotion in emotions)
    wanted = evaluation.per_emotion + identification.per_emotion
    return sum(min(wanted, listed[emotion]) for emotion in emotions)


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[[Probe, Sequence[Utterance]], Iterable[Clip | SetAside]]]:
    """An ordered map over `workers` processes; leaving it, by Ctrl-C too, drops what has not begun."""
    if workers == 1:
        yield map
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=follow_parent)
    try:
        # Small chunks: clips differ in length, and progress comes in steps of one chunk.
        yield partial(pool.map, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)

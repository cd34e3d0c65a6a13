"""Ours as a sweep runs it on a CPU: one process for each core, one thread in each, a cell of its own in each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import torch

from speed.subject import Subject
from speed.ways import Mask, Ours

PROCESSES = 2
PATIENCE = 600  # seconds that a process waits for the other one

_start: Any = None


def rates_of_two(subject: Subject, new_tokens: Sequence[int], cells: int) -> dict[int, list[float]]:
    """Answers per second of two processes side by side, by `new_tokens`, one per cell: first start to last end."""
    context = get_context("spawn")
    bare = replace(subject)  # without the model: the other process loads its own
    meeting = (context.Barrier(PROCESSES),)
    with ProcessPoolExecutor(PROCESSES, context, initializer=_meet, initargs=meeting) as pool:
        jobs = [pool.submit(_spans, bare, [*new_tokens] * cells, seed) for seed in range(PROCESSES)]
        spans = [job.result() for job in jobs]
    answers = PROCESSES * len(subject.clips)
    rates = [
        answers / (max(stop for _, stop in both) - min(start for start, _ in both)) for both in zip(*spans, strict=True)
    ]
    return {new: rates[at :: len(new_tokens)] for at, new in enumerate(new_tokens)}


def _meet(barrier: Any) -> None:
    global _start
    _start = barrier


def _spans(subject: Subject, new_tokens: Sequence[int], seed: int) -> list[tuple[float, float]]:
    """When each cell started and stopped, by a clock that all processes of a machine share; a cell for each number."""
    torch.set_num_threads(1)
    try:
        ours = Ours(subject, subject.clips)
        ours.answer([None], subject.new_tokens)
        return [_span(ours, subject.mask(PROCESSES * cell + seed), new) for cell, new in enumerate(new_tokens)]
    except BaseException:
        _start.abort()  # the other one would wait in vain
        raise


def _span(ours: Ours, mask: Mask, new_tokens: int) -> tuple[float, float]:
    _start.wait(PATIENCE)
    started = time.monotonic()
    ours.answer([mask], new_tokens)
    return started, time.monotonic()

"""Our engine as a sweep runs it on a CPU: a process for each core, with one thread and its own cell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import torch

from speed.methods import Mask, SweepEngine
from speed.workload import Workload

PROCESSES = 2
TIMEOUT_SECONDS = 600  # of one process's wait for the other one

_start: Any = None


def rates_of_two(workload: Workload, new_tokens: Sequence[int], cells: int) -> dict[int, list[float]]:
    """Answers per second of two parallel processes, by `new_tokens`, one per cell: from first start to last end."""
    context = get_context("spawn")
    unloaded = replace(workload)  # without the model: each process loads one
    barrier = (context.Barrier(PROCESSES),)
    with ProcessPoolExecutor(PROCESSES, context, initializer=_keep_barrier, initargs=barrier) as pool:
        jobs = [pool.submit(_spans, unloaded, [*new_tokens] * cells, seed) for seed in range(PROCESSES)]
        spans = [job.result() for job in jobs]
    answers = PROCESSES * len(workload.clips)
    rates = [
        answers / (max(stop for _, stop in both) - min(start for start, _ in both)) for both in zip(*spans, strict=True)
    ]
    return {new: rates[index :: len(new_tokens)] for index, new in enumerate(new_tokens)}


def _keep_barrier(barrier: Any) -> None:
    global _start
    _start = barrier


def _spans(workload: Workload, new_tokens: Sequence[int], seed: int) -> list[tuple[float, float]]:
    """Start and end of one cell for each of `new_tokens`, by a clock that all processes of a machine share."""
    torch.set_num_threads(1)
    try:
        ours = SweepEngine(workload, workload.clips)
        ours.answer([None], workload.new_tokens)
        return [_span(ours, workload.mask(PROCESSES * cell + seed), new) for cell, new in enumerate(new_tokens)]
    except BaseException:
        _start.abort()  # else the other process would wait
        raise


def _span(ours: SweepEngine, mask: Mask, new_tokens: int) -> tuple[float, float]:
    _start.wait(TIMEOUT_SECONDS)
    started = time.monotonic()
    ours.answer([mask], new_tokens)
    return started, time.monotonic()

"""Calls a function in a child process, so that a crash in native code is an exception and not the end of the run.

Knows nothing of audio. The process is kept for the next call, replaced when it dies, and ends with its parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing.process import BaseProcess
from typing import ParamSpec, TypeVar

_Params = ParamSpec("_Params")
_Value = TypeVar("_Value")


class SubprocessCrashed(Exception):
    """The child process died during the call."""


def run_in_subprocess(function: Callable[_Params, _Value], *args: _Params.args, **kwargs: _Params.kwargs) -> _Value:
    """`function(*args, **kwargs)` in another process; everything passed can be pickled.

    Raises:
        SubprocessCrashed: that process died; the next call starts a new one.
        Exception: whatever the function raises is raised here too.
    """
    process = _process()  # before signals are blocked: multiprocessing's resource tracker unblocks them when it starts
    try:
        with interrupts_blocked():
            future = process.submit(function, *args, **kwargs)
        return future.result()
    except BrokenProcessPool:
        _process.cache_clear()
        raise SubprocessCrashed from None


@cache
def _process() -> ProcessPoolExecutor:
    return child_processes(1)


def child_processes(workers: int) -> ProcessPoolExecutor:
    """A pool of spawned processes that leave Ctrl-C to the parent and end with it.

    Submit under `interrupts_blocked`: the pool starts its processes then.
    """
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes started inside are born with SIGINT blocked; here, Ctrl-C takes effect at the end.

    Without it, Ctrl-C kills a child that has not reached its initializer yet, and prints a second traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it: a pool's own workers outlive a killed parent and wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after, args=[multiprocessing.parent_process()], daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)

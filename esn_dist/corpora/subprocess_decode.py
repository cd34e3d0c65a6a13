"""Calls a function in a process of its own, so that a crash in native code is an error and not the end of the run.

Knows nothing of audio. The process is kept for the next call, replaced when it dies, and dies with its parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing.process import BaseProcess
from typing import ParamSpec, TypeVar

Params = ParamSpec("Params")
Value = TypeVar("Value")


class Crashed(Exception):
    """The process died during the call."""


def apart(function: Callable[Params, Value], *args: Params.args, **kwargs: Params.kwargs) -> Value:
    """`function(*args, **kwargs)`, all of which can be pickled, in another process.

    Raises:
        Crashed: that process died; the next call gets a new one. Whatever the function raises is raised here too.
    """
    try:
        return _process().submit(function, *args, **kwargs).result()
    except BrokenProcessPool:
        _process.cache_clear()
        raise Crashed from None


@cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=follow_parent)


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, and die with it: a pool's own workers outlive a killed parent and wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after, args=[multiprocessing.parent_process()], daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)

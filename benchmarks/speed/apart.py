"""A function in a process of its own, and the memory that it took there. Knows nothing of what is measured."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def apart(function: Any, *arguments: Any) -> Any:
    """What `function` returns in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


def peak_bytes() -> int:
    """Highest resident memory of this process so far. (`ru_maxrss` would begin with that of the parent.)"""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

"""Measures the time and memory of work on a device, at a number of threads. Knows no models."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

import torch


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of `work`, the device's share included."""
    synchronise()
    started = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - started


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def thread_counts(device: torch.device) -> tuple[int, ...]:
    """The numbers of threads to try: one and two on a CPU; on a GPU torch's default."""
    return tuple(sorted({1, min(2, os.cpu_count() or 1)})) if device.type == "cpu" else (torch.get_num_threads(),)


@contextmanager
def at_threads(count: int) -> Iterator[None]:
    """With `count` threads inside an operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reset_peak() -> None:
    """Reset the peak of memory."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device: torch.device) -> float:
    """The most memory since `reset_peak` on a GPU; on a CPU of the whole process, from its start."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def name_of(device: torch.device) -> str:
    """The GPU's name, or the CPU's architecture and cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {platform.machine()}, {os.cpu_count()} cores"


def facts(device: torch.device, dtype: torch.dtype) -> dict[str, object]:
    """Device, versions and dtype, on which all figures depend."""
    packages = {name: version(name) for name in ("torch", "transformers")}
    versions = {"python": platform.python_version(), **packages, "cuda": torch.version.cuda}
    return {"device": name_of(device), "versions": versions, "dtype": str(dtype).removeprefix("torch.")}


def rounded(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}")

"""What the driver library tells of the machine's GPUs, in a process of its own: nothing here starts CUDA."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

EVERY = 0.5  # seconds between two looks


def of_gpus(asked: str) -> list[str]:
    """What the driver library tells of each GPU; empty without any."""
    query = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [] if done.returncode else done.stdout.splitlines()


def utilisation() -> list[float]:
    """Of each GPU, in percent; empty without any, or where the driver library does not tell."""
    told = of_gpus("utilization.gpu")
    return [float(line) for line in told] if all(line.strip().isdecimal() for line in told) else []


def mean(looks: Sequence[Sequence[float]]) -> list[float]:
    """Of each GPU over all looks that told something."""
    told = [look for look in looks if look]
    return np.mean(told, axis=0).round(1).tolist() if told else []


@contextmanager
def looked_at(looks: list[list[float]]) -> Iterator[None]:
    """For the length of the block, `looks` gets the GPUs' utilisation, again and again."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(EVERY):
            looks.append(utilisation())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()

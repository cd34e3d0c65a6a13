"""Facts of the machine's GPUs from `nvidia-smi`, in a separate process: nothing here starts CUDA."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

INTERVAL = 0.5  # seconds between two samples


def query_gpus(field: str) -> list[str]:
    """A field of `nvidia-smi` for each GPU; empty without any."""
    query = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [] if done.returncode else done.stdout.splitlines()


def utilisation() -> list[float]:
    """Utilisation of each GPU in percent; empty without any, or where the driver does not report it."""
    lines = query_gpus("utilization.gpu")
    return [float(line) for line in lines] if all(line.strip().isdecimal() for line in lines) else []


def mean_utilisation(samples: Sequence[Sequence[float]]) -> list[float]:
    """Mean of each GPU over all samples that are not empty."""
    reported = [sample for sample in samples if sample]
    return np.mean(reported, axis=0).round(1).tolist() if reported else []


@contextmanager
def sampled_utilisation(samples: list[list[float]]) -> Iterator[None]:
    """Append the GPUs' utilisation to `samples` at intervals for the length of the block."""
    end = threading.Event()

    def sample() -> None:
        while not end.wait(INTERVAL):
            samples.append(utilisation())

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield
    finally:
        end.set()
        sampler.join()

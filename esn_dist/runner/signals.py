"""SIGINT and SIGTERM during a run. Knows no units: it sets `RunResult.interrupted`, which the driver looks at."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from esn_dist.runner.loop import RunResult


@contextmanager
def stop_on_signals(result: RunResult) -> Iterator[None]:
    """The first signal asks to stop after the units in flight; a second one raises `KeyboardInterrupt`."""

    def handle(number: int, frame: FrameType | None) -> None:
        if result.interrupted:
            raise KeyboardInterrupt
        result.interrupted = number

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

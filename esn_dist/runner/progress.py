"""The progress of a run: bars with ETA on a terminal, two lines a minute elsewhere, and a state file for `status`.

Knows nothing of Ray; the loop shows it a schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from esn_dist.runner.schedule import Schedule
from esn_dist.store.run_log import ModelState, RunLog
from esn_dist.sweep.units import Step

SHOW_SECONDS = 0.1
LINE_SECONDS = 30.0
STATE_SECONDS = 1.0


class ProgressDisplay:
    """The display of one run. `with ProgressDisplay(console) as progress: ...`"""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("ETA"), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()
        self._state_written = self._shown = 0.0
        self._start: dict[str, tuple[float, int]] = {}  # of each bar: time, and what was done by then

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def preparing(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar for a preparation. Yields the function that moves it: (done, total)."""
        yield lambda done, total: self._move(what, done, total)

    @property
    def due(self) -> bool:
        """Whether a call of `show` would be visible yet. A loop of thousands of units a second asks first."""
        return time.monotonic() - self._shown >= SHOW_SECONDS

    def show(self, model: str, schedule: Schedule, log: RunLog) -> None:
        """Show the state of `schedule`, and write it to the log once a second."""
        steps = steps_of(schedule)
        for step, (done, total) in steps.items():
            if total:
                self._move(f"{model} {step}", done, total)
        self._shown = now = time.monotonic()
        if now - self._state_written >= STATE_SECONDS or schedule.exhausted:
            self._state_written = now
            in_flight = tuple(sorted(schedule.in_flight))
            log.write_state(model, ModelState(steps, in_flight, schedule.failed, self._eta(model, steps)))

    def _move(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, completed=done)
            self._start[what] = (time.monotonic(), done)
        self._bars.update(self._tasks[what], completed=done, total=total)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            eta = self._seconds_left(what, done, total)
            self.console.print(
                f"{what}: {done} of {total}" + (f", about {eta:.0f} s remain" if eta is not None else "")
            )

    def _seconds_left(self, what: str, done: int, total: int) -> float | None:
        start, done_before = self._start[what]
        seconds = time.monotonic() - start
        return seconds / (done - done_before) * (total - done) if done > done_before else None

    def _eta(self, model: str, steps: dict[str, tuple[int, int]]) -> float | None:
        """Seconds until the answers are complete; None if none was finished in this run."""
        done, total = steps[Step.ANSWER]
        name = f"{model} {Step.ANSWER}"
        return self._seconds_left(name, done, total) if name in self._start else None


def steps_of(schedule: Schedule) -> dict[str, tuple[int, int]]:
    """Units done and known of each step. Identification adds units round by round, so its total may grow."""
    return {str(step): (schedule.finished[step], schedule.added[step]) for step in Step}

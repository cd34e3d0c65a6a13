"""A real small sweep: synthetic speech made once a session, the shipped model, real Ray processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from esn_dist.store.done import done_units
from esn_dist.store.folder import StoreFolder

HANG_SECONDS = 1800  # no test waits so long on any machine that works: only a hang does

SWEEP = """\
name: small
seed: 5
store: {store}
cache: {cache}
models: [tiny-qwen2.5-omni]
corpora:
  - &speech                                       # two, so that identify and answer units run side by side
    name: studio
    type: synthetic
    condition: studio
    emotions: [anger, joy, neutral, sadness, surprise]
    evaluation: {{splits: [evaluation], per_emotion: {per_emotion}}}
    identification: {{splits: [identification], candidates: 40, cap: {cap}}}
  - {{<<: *speech, name: phone, condition: phone}}
studies:
  one:
    selectors: [RND, MAD, ConAct]
    fractions: 10 %
    seeds: {seeds}
    interventions: [deactivate, {{type: steer, alpha: 0.3}}]
"""


@dataclass(frozen=True)
class Runner:
    """Starts `esn-dist run` in separate processes."""

    folder: Path
    cache: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def sweep(self, name: str, *, per_emotion: int = 4, seeds: int = 2, cap: int = 6) -> Path:
        path = self.folder / f"{name}.yaml"
        store = self.folder / name
        text = SWEEP.format(store=store, cache=self.cache, per_emotion=per_emotion, seeds=seeds, cap=cap)
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, sweep: Path, actors: int = 2, as_json: bool = False) -> subprocess.Popen[str]:
        """A run whose stdout holds stderr too; with `as_json`, stderr is dropped."""
        command = [sys.executable, "-m", "esn_dist", "run", str(sweep), "--actors", str(actors)]
        process = subprocess.Popen(
            command + ["--json"] * as_json, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if as_json else subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, sweep: Path, actors: int = 2) -> str:
        """Run to the end; returns the output."""
        process = self.start(sweep, actors)
        output = self.output(process)
        assert process.returncode == 0, output
        return output

    def output(self, process: subprocess.Popen[str]) -> str:
        """What a run prints, once it has ended."""
        return process.communicate(timeout=HANG_SECONDS)[0]

    def wait(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Return once `condition` holds; the run must not end before."""
        deadline = time.monotonic() + HANG_SECONDS
        while not condition():
            assert process.poll() is None, f"the run ended too early: {process.communicate()[0]}"
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.02)

    def units_done(self, store: StoreFolder) -> int:
        """Number of done-marks."""
        return len(done_units(store)) if store.done.is_dir() else 0

    def actors(self, driver: int) -> list[int]:
        """Processes of the driver's Ray actors, by the title that Ray gives them."""
        actors = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes().startswith(b"ray::Actor") and _descends(int(path.parent.name), driver):
                    actors.append(int(path.parent.name))
        return actors

    def stop(self) -> None:
        """Kill the runs that a failed test left behind."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == ancestor


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    folder = tmp_path_factory.mktemp("sweeps")
    runner = Runner(folder, folder / "cache")
    yield runner
    runner.stop()


@pytest.fixture(scope="session")
def undisturbed(runner: Runner) -> StoreFolder:
    """A finished store that nothing disturbed, on two actors."""
    runner.run(runner.sweep("undisturbed"))
    return StoreFolder(runner.folder / "undisturbed")

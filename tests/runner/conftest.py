"""A real small sweep: synthetic speech made once a session, the shipped model, real Ray processes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from esn_dist.store.done import done_units
from esn_dist.store.folder import StoreFolder

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
    """Starts `esn-dist run` in processes of its own."""

    folder: Path
    cache: Path

    def sweep(self, name: str, *, per_emotion: int = 4, seeds: int = 2, cap: int = 6) -> Path:
        path = self.folder / f"{name}.yaml"
        store = self.folder / name
        text = SWEEP.format(store=store, cache=self.cache, per_emotion=per_emotion, seeds=seeds, cap=cap)
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, sweep: Path, actors: int = 2, as_json: bool = False) -> subprocess.Popen[str]:
        """Its output comes together on stdout; `as_json` without what goes to stderr."""
        command = [sys.executable, "-m", "esn_dist", "run", str(sweep), "--actors", str(actors)]
        return subprocess.Popen(
            command + ["--json"] * as_json, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if as_json else subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, sweep: Path, actors: int = 2) -> str:
        """Run to the end; the output."""
        process = self.start(sweep, actors)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    def wait(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Until `condition` holds; the run must not end before."""
        deadline = time.monotonic() + 240
        while not condition():
            assert process.poll() is None, f"the run ended too early: {process.communicate()[0]}"
            assert time.monotonic() < deadline, "nothing happened for four minutes"
            time.sleep(0.02)

    def units_done(self, store: StoreFolder) -> int:
        return len(done_units(store)) if store.done.is_dir() else 0

    def actors(self, driver: int) -> list[int]:
        """Processes of the driver's Ray actors, by the title that Ray gives them."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                ours = path.read_bytes().startswith(b"ray::Actor") and _descends(int(path.parent.name), driver)
                found += [int(path.parent.name)] if ours else []
        return found


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == ancestor


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("sweeps")
    return Runner(folder, folder / "cache")


@pytest.fixture(scope="session")
def undisturbed(runner: Runner) -> StoreFolder:
    """A finished store that nothing disturbed, on two actors."""
    runner.run(runner.sweep("undisturbed"))
    return StoreFolder(runner.folder / "undisturbed")

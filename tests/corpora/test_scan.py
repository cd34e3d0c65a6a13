"""The scan gives the same sets on any number of processes, and leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from esn_dist.corpora import Limits, Reason, SetRule, Utterance, scan

EMOTIONS = ("anger", "joy")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """40 utterances, every fourth of them unfit in one of four ways."""
    folder = tmp_path_factory.mktemp("ein Ordner mit Umlaut ä")
    noise = np.random.default_rng(0).normal(0, 0.1, 4_000)
    utterances = []
    for number in range(40):
        path = folder / f"{number}.wav"
        broken = number % 16 if number % 4 == 0 else None
        soundfile.write(path, {4: noise[:100], 8: 0 * noise}.get(broken or 0, noise), 16_000)
        if broken == 0:
            path.unlink()
        if broken == 12:
            path.write_bytes(b"not audio")
        utterances.append(Utterance(f"u{number}", "s", EMOTIONS[number // 2 % 2], "dev", path))
    return utterances


def test_one_and_two_processes_scan_the_same_sets(corpus: list[Utterance]) -> None:
    reports: list[tuple[int, int]] = []
    one, two = (
        scan(
            listing,
            EMOTIONS,
            seed=3,
            corpus="c",
            evaluation=SetRule(None, 5),
            identification=SetRule(None, None),
            workers=workers,
            progress=lambda done, total: reports.append((done, total)),
        )
        for workers, listing in ((1, corpus), (2, corpus[::-1]))
    )
    assert one == two
    assert (len(one.evaluation), len(one.identification)) == (10, 20)
    assert {item.reason for item in one.set_aside} == {
        Reason.MISSING,
        Reason.TOO_SHORT,
        Reason.SILENT,
        Reason.UNREADABLE,
    }
    assert reports == [(done, 40) for done in range(1, 41)] * 2


def test_limits_reach_the_judge(corpus: list[Utterance]) -> None:
    sets = scan(
        corpus,
        EMOTIONS,
        seed=3,
        corpus="c",
        evaluation=SetRule(None, 5),
        identification=SetRule(None, 0),
        limits=Limits(shortest=0.001),
    )
    assert Reason.TOO_SHORT not in {item.reason for item in sets.exclusions}


ENDLESS = """
import itertools, sys
from pathlib import Path
from esn_dist.corpora import SetRule, Utterance, scan

if __name__ == "__main__":
    path = Path(sys.argv[1])
    many = [Utterance(str(n), "", "joy", "", path) for n in range(50_000)]
    say = lambda done, total: print(done, flush=True) if done == 1 else None
    scan(many, ["joy"], seed=0, corpus="c", evaluation=SetRule(None, 1), identification=SetRule(None, None),
         workers=2, progress=say)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_an_interrupted_or_killed_scan(
    tmp_path: Path, corpus: list[Utterance], how: signal.Signals
) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    scanning = subprocess.Popen(
        [sys.executable, str(script), str(corpus[1].path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # its own group, so that the interrupt reaches the workers too, as a terminal's does
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert scanning.stdout is not None and scanning.stderr is not None
    assert scanning.stdout.readline() == b"1\n"
    (os.killpg if how is signal.SIGINT else os.kill)(scanning.pid, how)
    trouble = scanning.stderr.read().decode()  # ends when the last process that holds it is gone
    scanning.stdout.close()
    scanning.stderr.close()
    assert scanning.wait(timeout=20) == -how
    if how is signal.SIGINT:
        assert trouble.count("Traceback") == 1, trouble
        assert trouble.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 10
    while group_lives(scanning.pid):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

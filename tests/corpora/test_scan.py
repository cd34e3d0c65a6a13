"""The scan gives the same sets on any number of processes, and no process outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from esn_dist.corpora import Limits, Reason, SetRule, Utterance, scan

EMOTIONS = ("anger", "joy")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """40 utterances, every fourth of them invalid in one of four ways."""
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
    alone, two_processes = (
        scan(
            utterances,
            EMOTIONS,
            seed=3,
            corpus="c",
            evaluation=SetRule(None, 5),
            identification=SetRule(None, None),
            workers=workers,
            progress=lambda done, total: reports.append((done, total)),
        )
        for workers, utterances in ((1, corpus), (2, corpus[::-1]))
    )
    assert alone == two_processes
    assert (len(alone.evaluation), len(alone.identification)) == (10, 20)
    assert {item.reason for item in alone.exclusions} == {
        Reason.MISSING,
        Reason.TOO_SHORT,
        Reason.SILENT,
        Reason.UNREADABLE,
    }
    assert reports == [(done, 40) for done in range(1, 41)] * 2


def test_the_sweep_s_limits_are_those_of_the_scan(corpus: list[Utterance]) -> None:
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
import os, signal, sys, time
from pathlib import Path
from esn_dist.corpora import SetRule, Utterance, scan

folder = Path(sys.argv[2])
if __name__ == "__mp_main__":  # a worker, before its initializer has run
    try:
        os.close(os.open(folder / "first worker", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        (folder / "second worker is starting").touch()
        while not (folder / "go on").exists():
            time.sleep(0.01)

def progress(done, total):
    if done == 2:  # the first clip is the evaluation set, which needs one worker only
        while not (folder / "second worker is starting").exists():
            time.sleep(0.01)
        print("scanning", flush=True)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background of a shell ignores SIGINT
    many = [Utterance(str(n), "", "joy", "", Path(sys.argv[1])) for n in range(50_000)]
    scan(many, ["joy"], seed=0, corpus="c", evaluation=SetRule(None, 1), identification=SetRule(None, None),
         workers=2, progress=progress)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_an_interrupted_or_killed_scan(
    tmp_path: Path, corpus: list[Utterance], how: signal.Signals
) -> None:
    """The signal comes while the first worker decodes and the second one is still starting."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    scanning = subprocess.Popen(
        [sys.executable, str(script), str(corpus[1].path), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # its own process group: the interrupt reaches the workers too, as a terminal's does
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert scanning.stdout is not None
        assert scanning.stdout.readline() == b"scanning\n"
        (os.killpg if how is signal.SIGINT else os.kill)(scanning.pid, how)
        (tmp_path / "go on").touch()
        # Every process of the scan holds its end of the pipes: they close when the last one has ended.
        _, errors = scanning.communicate(timeout=300)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(scanning.pid, signal.SIGKILL)
        scanning.communicate()
    assert scanning.returncode == -how
    if how is signal.SIGINT:
        assert errors.count(b"Traceback") == 1, errors.decode()
        assert errors.rstrip().endswith(b"KeyboardInterrupt")

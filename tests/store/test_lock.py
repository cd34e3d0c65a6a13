"""One driver per store, whichever process dies, on whichever machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from esn_dist.errors import UserError
from esn_dist.store.local_backend import LocalBackend
from esn_dist.store.lock import HEARTBEAT_SECONDS, STALE_AFTER_SECONDS, Lease, LeaseLost, Lock
from tests.child_processes import child_process

HOLDER = """
import signal, sys
from pathlib import Path
from esn_dist.store.local_backend import LocalBackend
from esn_dist.store.lock import Lock
Lock(LocalBackend(Path(sys.argv[1]).parent), heartbeat_seconds=0.05).acquire()
print("held", flush=True)
signal.pause()
"""

# A racer waits for the starting time, then says whether it won; winners keep the lock until all have spoken.
RACER = """
import sys, time
from pathlib import Path
from esn_dist.errors import UserError
from esn_dist.store.local_backend import LocalBackend
from esn_dist.store.lock import Lock
time.sleep(max(0, float(sys.argv[2]) - time.time()))
try:
    backend = LocalBackend(Path(sys.argv[1]).parent)
    lease = Lock(backend, heartbeat_seconds=0.2, stale_after_seconds=float(sys.argv[3])).acquire()
    print("won", flush=True)
except UserError:
    print("lost", flush=True)
sys.stdin.read()
lease.check() if "lease" in globals() else None
"""


def lock_at(
    path: Path, *, heartbeat_seconds: float = HEARTBEAT_SECONDS, stale_after_seconds: float = STALE_AFTER_SECONDS
) -> Lock:
    return Lock(
        LocalBackend(path.parent),
        path.name,
        heartbeat_seconds=heartbeat_seconds,
        stale_after_seconds=stale_after_seconds,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep" / "lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A living driver in another process."""
    with child_process([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process


def foreign(path: Path, **changes: str | int) -> bytes:
    """A lock as a driver on another machine would have left it."""
    with lock_at(path):
        content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "host": "elsewhere", "token": "theirs", **changes}))
    return path.read_bytes()


def test_second_driver_on_one_store_is_refused_with_the_first_ones_host(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(UserError) as refused:
        lock_at(path).acquire()
    assert f"process {holder.pid} on {socket.gethostname()}, started 20" in str(refused.value)


def test_a_killed_drivers_lock_is_taken_at_once_even_while_its_parent_has_not_noticed(
    path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waits for {seconds} s"))
    with lock_at(path) as lease:
        lease.check()


def test_a_stopped_driver_is_alive_and_not_robbed(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(UserError, match="another driver works"):
        lock_at(path, stale_after_seconds=0.1).acquire()


def test_a_process_id_used_again_does_not_keep_a_dead_drivers_lock(path: Path) -> None:
    foreign(path, host=socket.gethostname(), born="1", pid=os.getpid())
    with lock_at(path) as lease:
        lease.check()


def test_a_lock_from_before_the_reboot_is_taken_at_once(path: Path) -> None:
    foreign(path, host=socket.gethostname(), boot="another")
    with lock_at(path) as lease:
        lease.check()


def test_a_silent_driver_elsewhere_is_taken_over_only_once_it_is_stale(path: Path) -> None:
    foreign(path)
    begun = time.monotonic()
    with lock_at(path, stale_after_seconds=0.5) as lease:
        lease.check()
    assert time.monotonic() - begun >= 0.5


def test_a_container_of_the_same_host_is_elsewhere_since_its_process_ids_mean_nothing_here(path: Path) -> None:
    foreign(path, host=socket.gethostname(), namespace="pid:[1]", pid=2**22 + 1)
    begun = time.monotonic()
    with lock_at(path, stale_after_seconds=0.3):
        assert time.monotonic() - begun >= 0.3


def test_a_driver_elsewhere_whose_counter_moves_is_not_taken_over(path: Path) -> None:
    content = json.loads(foreign(path))
    mover = "import sys, time; time.sleep(0.3); open(sys.argv[1], 'w').write(sys.argv[2])"
    moved = json.dumps({**content, "counter": 1})
    command = [sys.executable, "-c", mover, str(path), moved]
    with subprocess.Popen(command), pytest.raises(UserError, match="on elsewhere"):
        lock_at(path, stale_after_seconds=30).acquire()


def test_a_lock_that_a_power_cut_has_emptied_is_taken_once_it_is_stale(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    with lock_at(path, stale_after_seconds=0.2) as lease:
        lease.check()


def test_the_counter_advances_and_release_removes_the_lock(path: Path) -> None:
    lock = lock_at(path, heartbeat_seconds=0.02)
    lease = lock.acquire()
    deadline = time.monotonic() + 5
    while json.loads(path.read_text())["counter"] < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert json.loads(path.read_text())["counter"] >= 3
    lease.check()
    lock.release()
    assert not path.exists()
    with pytest.raises(LeaseLost, match="the lock is gone"):
        lease.check()


def test_a_driver_that_lost_its_lock_neither_beats_nor_removes_the_new_ones(path: Path) -> None:
    theirs = foreign(path.with_name("other"))
    # The swap comes between two heartbeats, for the old driver was paused: it is not a race of two guarded steps.
    lock = lock_at(path, heartbeat_seconds=0.5)
    lease = lock.acquire()
    os.replace(path.with_name("other"), path)
    time.sleep(1.2)
    with pytest.raises(LeaseLost, match="now held by process"):
        lease.check()
    lock.release()
    assert path.read_bytes() == theirs
    Lease("theirs", LocalBackend(path.parent)).check()


@pytest.mark.parametrize("left", ["nothing", "a dead driver's lock", "a silent lock from elsewhere"])
def test_of_sixteen_drivers_at_once_exactly_one_wins(path: Path, left: str) -> None:
    path.parent.mkdir(parents=True)
    if left != "nothing":
        foreign(path, **({"host": socket.gethostname(), "born": "1"} if left.startswith("a dead") else {}))
    start = str(time.time() + 4)
    command = [sys.executable, "-c", RACER, str(path), start, "1"]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(16)
    ]
    outcomes = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
    errors = [racer.communicate()[1] for racer in racers]
    assert sorted(outcomes) == ["lost"] * 15 + ["won"]
    assert errors == [""] * 16

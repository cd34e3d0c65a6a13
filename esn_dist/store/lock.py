"""One driver per store: a file that says who holds it, a counter that shows the holder lives, a token for its actors.

Times of other machines are never compared: a holder elsewhere is dead when its counter stands still for `patience`
seconds of our own monotonic clock. Needs a file system with working flock (local disks, NFS 4, most cluster ones).
Knows nothing of what the lock protects.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from esn_dist.errors import UserError
from esn_dist.store.disk import PARTIAL, replace_bytes, sync, write_partial

BEAT_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.2

logger = logging.getLogger(__name__)


class LeaseLost(RuntimeError):
    """The lock is no longer the one this process works under: stop, and publish nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a driver hands its actors: proof that the lock was theirs, to be checked before each publication."""

    token: str
    path: Path

    def check(self) -> None:
        """Raise `LeaseLost` unless the lock still carries this token."""
        holder = _read(self.path)
        if holder is None or holder.token != self.token:
            raise LeaseLost(f"{self.path}: " + (f"now held by {holder}" if holder else "the lock is gone"))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. `born` is the process's start in clock ticks since boot: process ids are used again."""

    host: str
    boot: str
    namespace: str
    pid: int
    born: str
    started: str
    token: str
    counter: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.started}"

    def on_this_machine(self) -> bool:
        """Whether its process id means something here. Containers may share a host's name, not its process ids."""
        here = _this_process()
        return self.host == here.host and (self.boot != here.boot or self.namespace == here.namespace)

    def dead(self) -> bool:
        """Whether a holder on this machine is gone for sure."""
        return self.boot != _boot() or self.born != _born(self.pid)


class Lock:
    """Hold the store for one driver: `with Lock(folder.lock) as lease: ...`.

    Args:
        path: the lock's file.
        beat: seconds between two steps of the counter.
        patience: seconds for which the counter of a holder elsewhere must stand still before it is taken over.
    """

    def __init__(self, path: Path, *, beat: float = BEAT_SECONDS, patience: float = PATIENCE_SECONDS) -> None:
        self._path = path
        self._beat = beat
        self._patience = patience
        self._holder = _this_process()
        self._stopped = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, name="store-lock", daemon=True)

    def acquire(self) -> Lease:
        """Take the lock, at once or after watching a silent holder. Raises `UserError` naming a holder that lives."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while (seen := self._try()) is not None:
            self._watch(seen)
        self._heart.start()
        return Lease(self._holder.token, self._path)

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._stopped.set()
        self._heart.join()
        with suppress(FileNotFoundError), _guarded(self._path):
            if _token(_content(self._path)) == self._holder.token:
                self._path.unlink()

    def __enter__(self) -> Lease:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _try(self, silent: bytes | None = None) -> bytes | None:
        """Take the lock if it is free, dead, or still says what `silent` said; else return what it says."""
        with _guarded(self._path):
            # Only ever written under the guard, so those that lie here belong to the dead.
            for partial in self._path.parent.glob(f".{self._path.name}.*{PARTIAL}"):
                partial.unlink()
            content = _content(self._path)
            if content is None:
                self._link()
            elif content == silent or _surely_dead(content):
                replace_bytes(self._path, _bytes(self._holder))
            return None if _token(_content(self._path)) == self._holder.token else content or b""

    def _link(self) -> None:
        """Linking fails where the name exists, also on file systems whose flock only knows this machine."""
        partial = write_partial(self._path, _bytes(self._holder))
        with suppress(FileExistsError):
            os.link(partial, self._path)
        partial.unlink()
        sync(self._path.parent)

    def _watch(self, seen: bytes) -> None:
        holder = _parsed(seen)
        if holder and holder.on_this_machine():
            self._refuse(holder)
        logger.info(
            "%s may hold the store; watching its counter for up to %.0f s", holder or "a driver", self._patience
        )
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, self._patience))
            if (now := _content(self._path)) != seen:
                if now is not None:
                    self._refuse(_parsed(now) or holder)
                return
        self._try(silent=seen)

    def _refuse(self, holder: Holder | None) -> None:
        raise UserError(
            f"another driver works on this store: {holder or 'of unknown name'}",
            where=str(self._path),
            expected="one driver per store",
            fix="wait for it, or stop it; a dead one is taken over without asking",
        )

    def _keep_beating(self) -> None:
        counter = 0
        while not self._stopped.wait(self._beat):
            counter += 1
            # A full disk must not end the heart: the next beat may succeed.
            with suppress(OSError), _guarded(self._path):
                if _token(_content(self._path)) != self._holder.token:
                    return
                replace_bytes(self._path, _bytes(replace(self._holder, counter=counter)))


def running_driver(path: Path) -> str | None:
    """Who holds the lock, or None where nobody does or the holder is surely dead. A holder elsewhere is believed."""
    content = _content(path)
    if content is None or _surely_dead(content):
        return None
    return str(_parsed(content) or "of unknown name")


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Only one process at a time reads and replaces the lock; the system frees the guard of a killed one."""
    guard = os.open(path.with_name(f".{path.name}.guard"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
    finally:
        os.close(guard)


def _surely_dead(content: bytes) -> bool:
    holder = _parsed(content)
    return holder is not None and holder.on_this_machine() and holder.dead()


def _read(path: Path) -> Holder | None:
    content = _content(path)
    return _parsed(content) if content is not None else None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parsed(content: bytes) -> Holder | None:
    """None for a lock that a power cut has emptied: its holder is unknown, so only silence can show it dead."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _token(content: bytes | None) -> str | None:
    holder = _parsed(content) if content is not None else None
    return holder.token if holder else None


def _bytes(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _this_process() -> Holder:
    pid = os.getpid()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(socket.gethostname(), _boot(), _namespace(), pid, _born(pid), started, uuid.uuid4().hex)


def _boot() -> str:
    boot = _content(Path("/proc/sys/kernel/random/boot_id"))
    return boot.decode().strip() if boot else ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _born(pid: int) -> str:
    """Start of a process in ticks since boot; "dead" where there is none, "alive" where the system cannot say."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return "dead"
        except PermissionError:
            pass
        return "alive"
    try:
        # The name in parentheses may hold blanks; what follows it starts with the state.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "dead"
    return "dead" if state in "ZX" else rest[18]

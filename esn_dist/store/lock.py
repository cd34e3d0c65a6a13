"""One driver per store: a file that names the holder, a counter that shows that it lives, a token for its workers.

Times of other machines are never compared. A holder elsewhere is dead when its counter does not change for
`stale_after_seconds` of this machine's monotonic clock. Uses the backend's `swap`. Does not know what it protects.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from esn_dist.errors import UserError
from esn_dist.store.backend import StorageBackend
from esn_dist.store.folder import LOCK

HEARTBEAT_SECONDS = 5.0
STALE_AFTER_SECONDS = 60.0
_POLL_SECONDS = 0.2
_START_TICKS_KEY = "born"  # of `Holder.process_start_ticks` in the lock's file, which earlier versions read too

logger = logging.getLogger(__name__)


class LeaseLost(RuntimeError):
    """The lock is no longer the one this process works under: stop, and publish nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to publish, which a driver gives its workers; it is checked before each publication."""

    token: str
    backend: StorageBackend
    key: str = LOCK

    def check(self) -> None:
        """Raise `LeaseLost` unless the lock still carries this token."""
        content = _content(self.backend, self.key)
        if _token(content) != self.token:
            holder = _parsed(content) if content is not None else None
            where = self.backend.location(self.key)
            raise LeaseLost(f"{where}: " + (f"now held by {holder}" if holder else "the lock is gone"))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    `process_start_ticks` are clock ticks from the boot to the start of the process: process ids are used again.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    process_start_ticks: str
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
        return self.boot != _boot() or self.process_start_ticks != _start_ticks(self.pid)


class Lock:
    """Hold the store for one driver: `with Lock(folder.backend) as lease: ...`.

    Args:
        backend: where the lock is kept.
        key: of the lock's file.
        heartbeat_seconds: between two heartbeats, each of which advances the counter.
        stale_after_seconds: a holder elsewhere is dead if its counter does not change for so long.
    """

    def __init__(
        self,
        backend: StorageBackend,
        key: str = LOCK,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stale_after_seconds: float = STALE_AFTER_SECONDS,
    ) -> None:
        self._backend = backend
        self._key = key
        self._heartbeat_seconds = heartbeat_seconds
        self._stale_after_seconds = stale_after_seconds
        self._holder = _this_process()
        self._stopped = threading.Event()
        self._heartbeat = threading.Thread(target=self._send_heartbeats, name="store-lock", daemon=True)

    def acquire(self) -> Lease:
        """Take the lock, at once or after watching a silent holder. Raises `UserError` naming a holder that lives."""
        while (other := self._try()) is not None:
            self._watch(other)
        self._heartbeat.start()
        return Lease(self._holder.token, self._backend, self._key)

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._stopped.set()
        self._heartbeat.join()
        content = self._content()
        if content is not None and _token(content) == self._holder.token:
            self._backend.swap(self._key, content, None)

    def __enter__(self) -> Lease:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _content(self) -> bytes | None:
        return _content(self._backend, self._key)

    def _try(self, silent: bytes | None = None) -> bytes | None:
        """Take the lock if it is free, dead, or still equal to `silent`. Returns: the content of another's lock."""
        content = self._content()
        if content is None or content == silent or _surely_dead(content):
            self._backend.swap(self._key, content, _bytes(self._holder))
        content = self._content()
        return None if _token(content) == self._holder.token else content or b""

    def _watch(self, first: bytes) -> None:
        """Return where a silent holder was taken over or its lock is gone. Raises `UserError` where it lives."""
        holder = _parsed(first)
        if holder and holder.on_this_machine():
            self._refuse(holder)
        logger.info(
            "%s may hold the store; watching its counter for up to %.0f s",
            holder or "a driver",
            self._stale_after_seconds,
        )
        deadline = time.monotonic() + self._stale_after_seconds
        while time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, self._stale_after_seconds))
            if (now := self._content()) != first:
                if now is not None:
                    self._refuse(_parsed(now) or holder)
                return
        self._try(silent=first)

    def _refuse(self, holder: Holder | None) -> None:
        raise UserError(
            f"another driver works on this store: {holder or 'of unknown name'}",
            where=self._backend.location(self._key),
            expected="one driver per store",
            fix="wait for it, or stop it; a dead one is taken over without asking",
        )

    def _send_heartbeats(self) -> None:
        counter = 0
        while not self._stopped.wait(self._heartbeat_seconds):
            counter += 1
            # A full disk must not stop the heartbeat: the next one may succeed.
            with suppress(OSError):
                content = self._content()
                if content is None or _token(content) != self._holder.token:
                    return
                self._backend.swap(self._key, content, _bytes(replace(self._holder, counter=counter)))


def running_driver(backend: StorageBackend, key: str = LOCK) -> str | None:
    """Who holds the lock, or None where nobody does or the holder is surely dead. A holder elsewhere is believed."""
    content = _content(backend, key)
    if content is None or _surely_dead(content):
        return None
    return str(_parsed(content) or "of unknown name")


def _surely_dead(content: bytes) -> bool:
    holder = _parsed(content)
    return holder is not None and holder.on_this_machine() and holder.dead()


def _content(backend: StorageBackend, key: str) -> bytes | None:
    try:
        return backend.read(key)
    except FileNotFoundError:
        return None


def _parsed(content: bytes) -> Holder | None:
    """The holder; None for a lock that a power cut has emptied, where only silence can show that its holder is dead."""
    try:
        fields = json.loads(content)
        return Holder(process_start_ticks=fields.pop(_START_TICKS_KEY), **fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _token(content: bytes | None) -> str | None:
    holder = _parsed(content) if content is not None else None
    return holder.token if holder else None


def _bytes(holder: Holder) -> bytes:
    fields = asdict(holder)
    fields[_START_TICKS_KEY] = fields.pop("process_start_ticks")
    return json.dumps(fields, indent=1).encode()


def _this_process() -> Holder:
    pid = os.getpid()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(socket.gethostname(), _boot(), _namespace(), pid, _start_ticks(pid), started, uuid.uuid4().hex)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_ticks(pid: int) -> str:
    """Start of a process in ticks since boot; "dead" where it does not run, "alive" where the system cannot say."""
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

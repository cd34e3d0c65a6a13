"""Child processes of tests: always ended and waited for, also where the test fails."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def child_process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process with a group of its own; it is killed with its group if it still runs at the end of the block.

    A child that is left running raises a warning, which is an error, in whichever test comes next. There is no time
    limit: on a busy machine everything takes longer, and a test that waits for the child's end waits for it.
    """
    with subprocess.Popen(command, start_new_session=True, **options) as process:  # closes its pipes and waits
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

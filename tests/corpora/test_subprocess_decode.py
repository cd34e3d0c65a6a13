"""A crash in another process is an error here, and the next call finds a new process."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from esn_dist.corpora.subprocess_decode import Crashed, apart


def test_a_value_comes_back_from_another_process() -> None:
    assert np.array_equal(apart(np.arange, 5), np.arange(5))
    assert apart(os.getpid) != os.getpid()


def test_what_the_function_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        apart(int, "no number")


def test_a_crash_is_an_error_and_the_next_call_works() -> None:
    for _ in range(2):
        with pytest.raises(Crashed):
            apart(os.kill, apart(os.getpid), signal.SIGSEGV)
        assert apart(int, "7") == 7


def test_a_process_is_kept_from_call_to_call() -> None:
    assert apart(os.getpid) == apart(os.getpid)

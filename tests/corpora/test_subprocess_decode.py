"""A crash in another process is an exception here, and the next call gets a new process."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from esn_dist.corpora.subprocess_decode import SubprocessCrashed, run_in_subprocess


def test_a_value_comes_back_from_another_process() -> None:
    assert np.array_equal(run_in_subprocess(np.arange, 5), np.arange(5))
    assert run_in_subprocess(os.getpid) != os.getpid()


def test_what_the_function_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run_in_subprocess(int, "no number")


def test_a_crash_is_an_error_and_the_next_call_works() -> None:
    for _ in range(2):
        with pytest.raises(SubprocessCrashed):
            run_in_subprocess(os.kill, run_in_subprocess(os.getpid), signal.SIGSEGV)
        assert run_in_subprocess(int, "7") == 7


def test_a_process_is_kept_from_call_to_call() -> None:
    assert run_in_subprocess(os.getpid) == run_in_subprocess(os.getpid)

"""The library is silent until its user configures logging; the commands print its warnings on stderr."""

from __future__ import annotations

import logging

import pytest

import esn_dist
from esn_dist.cli.log_output import StderrHandler, print_warnings

LIBRARY = logging.getLogger(esn_dist.__name__)


def test_importing_the_library_configures_no_handler_and_no_level() -> None:
    assert all(isinstance(handler, logging.NullHandler) for handler in LIBRARY.handlers)
    assert LIBRARY.level == logging.NOTSET and LIBRARY.propagate


def test_commands_print_warnings_and_nothing_below(capsys: pytest.CaptureFixture[str]) -> None:
    print_warnings()
    try:
        logging.getLogger("esn_dist.runner.loop").warning("actor %d died", 3)
        logging.getLogger("esn_dist.runner.loop").info("not for the terminal")
    finally:
        for handler in [h for h in LIBRARY.handlers if isinstance(h, StderrHandler)]:
            LIBRARY.removeHandler(handler)
    output = capsys.readouterr()
    assert (output.err, output.out) == ("WARNING: actor 3 died\n", "")

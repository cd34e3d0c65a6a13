"""Prints warnings of the library on stderr while a command runs. The library itself configures no handler."""

from __future__ import annotations

import logging

import typer


class StderrHandler(logging.Handler):
    """Looks up `sys.stderr` for every message, because progress bars replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)


def print_warnings() -> None:
    """Print warnings and errors of the library, one line each."""
    handler = StderrHandler(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("esn_dist").addHandler(handler)

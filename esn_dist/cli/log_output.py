"""Where the commands print log messages: warnings of `esn_dist` on stderr. The library itself configures no handler."""

from __future__ import annotations

import logging

import typer


class StderrHandler(logging.Handler):
    """Prints to what is stderr at the time of the message: progress bars replace it while they are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)


def print_warnings() -> None:
    """Print warnings and errors of the library, one line each."""
    handler = StderrHandler(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("esn_dist").addHandler(handler)

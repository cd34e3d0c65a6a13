"""Exit codes of every command: invalid input exits with 2 and one message, a second Ctrl-C with 130.

Knows no command. Any other exception is a fault of the program and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from esn_dist.errors import UserError

EPILOG = (
    "Exit codes: 0 done; 1 units failed or remain, or for doctor: not supported, or a check failed; 2 invalid input; "
    "130 or 143 interrupted: run it again."
)

Params = ParamSpec("Params")


def with_exit_codes(command: Callable[Params, None]) -> Callable[Params, None]:
    """`command`, which prints a `UserError` without a traceback."""

    @wraps(command)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("stopped at once; run the same command again to continue", err=True)
            raise typer.Exit(130) from None

    return wrapped


def missing_package(error: ModuleNotFoundError, purpose: str) -> UserError:
    """What a light install answers to a command that needs torch or Ray for its `purpose`."""
    return UserError(f"this install cannot {purpose}: {error.name} is missing", fix="pip install 'esn-dist[run]'")

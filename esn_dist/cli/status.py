"""`esn-dist status`: progress, failures and ETA of a store, read from its files."""

from __future__ import annotations

import json

import typer

from esn_dist.cli.options import AsJson, StoreFolderArgument


def show_status(folder: StoreFolderArgument, as_json: AsJson = False) -> None:
    """Show the progress of a run.

    Lists units that are done, running and failed, and the time that remains. Works during a run and after it.
    """
    from esn_dist.report.status import status_text
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.status import read_status

    status = read_status(StoreFolder(folder))
    typer.echo(json.dumps(status.as_json(), indent=1) if as_json else status_text(status))

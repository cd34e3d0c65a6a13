"""Arguments and options that several commands share. Knows no command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="Sweep to read, e.g. configs/quickstart.yaml.")]
StoreFolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder of a sweep's results, e.g. store/quickstart.")
]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Folder of results; default: the sweep's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

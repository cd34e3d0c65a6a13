"""`esn-dist masks`: a sweep's masks as files that can be shared. Knows no model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esn_dist.cli.options import StoreFolderArgument


def export_masks(
    folder: StoreFolderArgument,
    out: Annotated[Path, typer.Option(help="File to write, e.g. masks.json.")],
    model: Annotated[str | None, typer.Option(help="Model of the masks; default: the only one.")] = None,
    selector: Annotated[
        list[str] | None, typer.Option(help="Only masks of this selector; may be given several times.")
    ] = None,
    corpus: Annotated[list[str] | None, typer.Option(help="Only masks identified on this corpus.")] = None,
    emotion: Annotated[list[str] | None, typer.Option(help="Only masks of this emotion.")] = None,
) -> None:
    """Write the masks of a sweep to a JSON file.

    Example: esn-dist masks export store/quickstart --selector ConAct --out conact.json
    """
    from esn_dist.api import open_sweep

    wanted = {"selector": selector, "source_corpus": corpus, "source_emotion": emotion}
    written = open_sweep(folder).export_masks(out, model=model, **{k: v for k, v in wanted.items() if v})
    typer.echo(f"{written} masks in {out}")

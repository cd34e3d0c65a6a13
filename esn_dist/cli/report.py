"""`esn-dist report`: tables, figures and pages of a store's finished cells. Knows no model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from esn_dist.cli.options import AsJson, StoreFolderArgument
from esn_dist.cli.results import effect_rows, unverified_speakers


def print_report(
    folder: StoreFolderArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the whole report: HTML, Markdown, LaTeX and CSV files.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Number of bootstrap resamples.")] = 5000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    by_speaker: Annotated[bool, typer.Option("--by-speaker", help="Resample speakers, not utterances.")] = False,
    leave_out_invalid: Annotated[
        bool,
        typer.Option("--leave-out-invalid", help="Leave out answers that name no option, else wrong."),
    ] = False,
    stability: Annotated[
        int, typer.Option(min=0, help="With --out: number of bootstrapped identification sets, e.g. 20.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Print the tables of a store.

    Prints Markdown, or one JSON row per condition. With --out, writes the whole report as files.

    Example: esn-dist report store/quickstart --out report
    """
    reading = {"draws": draws, "seed": seed, "by_speaker": by_speaker, "invalid_is_wrong": not leave_out_invalid}
    if out is not None:
        _write_files(folder, out, {**reading, "stability": stability})
        return
    rows, baselines = effect_rows(folder, **reading)
    if as_json:
        from esn_dist.report.tables import json_rows

        typer.echo(json.dumps(json_rows(rows), indent=1))
        return
    from esn_dist.report.markdown import markdown
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe

    corpora = describe(StoreFolder(folder)).corpora
    set_aside = {name: facts["set_aside"] for name, facts in corpora.items()}
    sys.stdout.write(markdown(rows, baselines, set_aside, unverified_speakers(folder)))


def _write_files(folder: Path, out: Path, settings: dict[str, int]) -> None:
    from esn_dist.report.findings import Settings, collect
    from esn_dist.report.folder import missing, write_report
    from esn_dist.store.folder import StoreFolder

    written = write_report(collect(StoreFolder(folder), Settings(**settings)), out)  # type: ignore[arg-type]
    typer.echo(f"{len(written)} files in {out}; open {out / 'report.html'}")
    if lacking := missing(written):
        typer.echo(lacking, err=True)

"""`esn-dist report`: tables, figures and pages of a store's finished cells. Knows no model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esn_dist.cli.options import AsJson, StoreFolderArgument

if TYPE_CHECKING:
    from esn_dist.report.results import Results


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
        typer.Option(
            "--leave-out-invalid", help="Leave out answers that name no option. By default they count as wrong."
        ),
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
    from esn_dist.analysis.measured_effects import EffectSettings
    from esn_dist.report.results import ReportSettings, Results
    from esn_dist.store.folder import StoreFolder

    effects = EffectSettings(draws, seed, by_speaker, invalid_is_wrong=not leave_out_invalid)
    results = Results(StoreFolder(folder), ReportSettings(effects, stability))
    if out is not None:
        _write_files(results, out)
    elif as_json:
        from esn_dist.analysis.flat_rows import json_effect

        typer.echo(json.dumps(list(map(json_effect, results.rows)), indent=1))
    else:
        from esn_dist.report.markdown import markdown
        from esn_dist.report.sections.builders import SUMMARY, build_document

        sys.stdout.write(markdown(build_document(results, SUMMARY)))


def _write_files(results: Results, out: Path) -> None:
    from esn_dist.report.folder import missing_figures, write_report

    written = write_report(results, out)
    typer.echo(f"{len(written)} files in {out}; open {out / 'report.html'}")
    if note := missing_figures(written):
        typer.echo(note, err=True)

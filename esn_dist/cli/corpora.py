"""`esn-dist corpora`: surveys the corpora of a sweep. Knows no model and no store."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.progress import TaskID

from esn_dist.cli.options import AsJson, SweepFile


def survey_corpora(
    sweep: SweepFile,
    headers: Annotated[bool, typer.Option("--headers", help="Read headers only; does not detect damage.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per CPU core.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in the corpora of a sweep.

    Lists counts, hours, excluded utterances with reasons, and the sets that a run would draw. Decodes every clip of
    the studied emotions. Loads no model, needs no GPU, and writes nothing into a corpus folder. Shows all
    corpora. Exits with 2 if one cannot be read or is too small.
    """
    from esn_dist.corpora.survey import survey
    from esn_dist.report.corpora import corpora_facts, corpora_text
    from esn_dist.sweep.load import load_sweep

    loaded = load_sweep(sweep)
    assert loaded.cache
    surveys = []
    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        for spec in loaded.corpora:
            report = partial(_advance, bar, bar.add_task(f"corpus {spec.name}", total=None))
            surveys.append(
                survey(spec, loaded.seed, loaded.cache, workers=workers or os.cpu_count() or 1, headers_only=headers,
                       progress=report)
            )  # fmt: skip
    typer.echo(json.dumps(corpora_facts(surveys), indent=1) if as_json else corpora_text(surveys))
    if any(corpus.problem for corpus in surveys):
        raise typer.Exit(2)


def _advance(bar: ProgressBar, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)

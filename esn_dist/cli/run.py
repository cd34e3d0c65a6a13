"""`esn-dist run`: the units of a sweep that are not finished, and the summary at the end. Needs torch and Ray."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from esn_dist.cli.exit_codes import missing_package
from esn_dist.cli.options import AsJson, StoreOption, SweepFile
from esn_dist.report.numbers import decimal_text

if TYPE_CHECKING:
    from esn_dist.runner.loop import RunResult


def run_sweep(
    sweep: SweepFile,
    store: StoreOption = None,
    actors: Annotated[
        int | None, typer.Option(min=1, help="Actors per model; default: one per GPU, or per CPU core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the parts of a sweep that are not finished.

    Interrupt it at any time: the same command continues it.

    Example: esn-dist run configs/quickstart.yaml
    """
    from esn_dist.sweep.load import load_sweep

    loaded = load_sweep(sweep)
    if store is not None:
        moved = {"store": store.resolve()} | ({"cache": store.resolve() / "cache"} if loaded.cache_in_store else {})
        loaded = loaded.model_copy(update=moved)
    try:
        from esn_dist.backends.ray_session import RayBackend
        from esn_dist.runner.driver import run as drive
        from esn_dist.runner.progress import ProgressDisplay
    except ModuleNotFoundError as error:
        raise missing_package(error, "run models") from None
    assert loaded.store
    console = Console(stderr=as_json)
    # Ray reports killed workers on stdout, which holds nothing but JSON where JSON was requested.
    with redirect_stdout(sys.stderr) if as_json else nullcontext(), ProgressDisplay(console) as progress:
        result = drive(loaded, sweep.read_text(encoding="utf-8"), RayBackend(), actors=actors, progress=progress)
    if as_json:
        typer.echo(json.dumps(run_facts(loaded.store, result), indent=1))
    else:
        print_conclusion(console, loaded.store, result, sweep)
    raise typer.Exit(128 + result.interrupted if result.interrupted else int(bool(result.failed or result.remaining)))


def run_facts(store: Path, result: RunResult) -> dict[str, object]:
    """The result of a run as `--json` prints it."""
    facts = {"store": str(store), **asdict(result), "unreadable_clips": sorted(result.unreadable_clips)}
    # The names of earlier versions, for scripts that read them.
    return facts | {"left": result.remaining, "parked": result.failed, "lost": facts["unreadable_clips"]}


def print_conclusion(console: Console, store: Path, result: RunResult, sweep: Path) -> None:
    """The end of a run for a person: the summary, or what remains and how to continue."""
    for unit, reason in result.failed.items():
        console.print(f"failed: {unit}: {reason}", markup=False)
    for clip in sorted(result.unreadable_clips):
        console.print(f"unreadable clip: {clip}", markup=False)
    if result.splits:
        console.print(f"{result.splits} batches did not fit into a GPU's memory and were answered in halves")
    if result.peak_bytes:
        console.print(f"peak memory of a GPU: {decimal_text(result.peak_bytes / 1e9, 1)} GB")
    if result.interrupted or result.remaining:
        remaining = f"{result.remaining} units remain" if result.remaining else "stopped before any unit was planned"
        console.print(f"{remaining}; run it again: esn-dist run {sweep}", markup=False)
        return
    from esn_dist.report.results import Results
    from esn_dist.report.speakers import unverified_speakers
    from esn_dist.report.terminal import run_summary
    from esn_dist.store.folder import StoreFolder

    results = Results(StoreFolder(store))
    console.print(run_summary(results.rows, results.baselines))
    for line in unverified_speakers(results.speakers):
        console.print(line, markup=False)
    console.print(f"results are in {store}; more tables: esn-dist report {store}", markup=False)

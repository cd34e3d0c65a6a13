"""The door: `esn-dist plan | run | status | report`, each with `--json`, help that teaches and honest exit codes.

A light install (no torch, no Ray) offers `plan`, `status` and `report`; `run` says what to install. Everything heavy is
imported by the command that needs it, so that `plan` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from esn_dist.errors import UserError

EPILOG = "Exit codes: 0 done; 1 some units failed or are left; 2 a mistake to mend; 130 or 143 interrupted: run again."

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, epilog=EPILOG,
    help="Find emotion-sensitive neurons in audio-language models and test them by intervention.",
)  # fmt: skip

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="What to run, e.g. configs/quickstart.yaml.")]
StoreArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="A sweep's folder, e.g. store/quickstart.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Folder of results; default: the sweep's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Params = ParamSpec("Params")


def main() -> None:
    """Entry point of the console script."""
    app()


def _mendable(command: Callable[Params, None]) -> Callable[Params, None]:
    """A user's mistake is printed without a traceback and exits with 2."""

    @wraps(command)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None

    return wrapped


@app.command(epilog=EPILOG)
@_mendable
def plan(sweep: SweepFile, as_json: AsJson = False) -> None:
    """Show what a sweep would run: studies, cells, answers, units, store size. Loads no model and needs no GPU."""
    from esn_dist.report.plan import plan_facts, plan_text
    from esn_dist.sweep.forecast import forecast
    from esn_dist.sweep.load import load_sweep

    facts = forecast(load_sweep(sweep))
    typer.echo(json.dumps(plan_facts(facts), indent=1) if as_json else plan_text(facts))


@app.command(epilog=EPILOG)
@_mendable
def run(
    sweep: SweepFile,
    store: StoreOption = None,
    actors: Annotated[int | None, typer.Option(min=1, help="Workers; default: one per GPU, or per CPU core.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run what a sweep lacks. Interrupt it at any point and run it again: it goes on where it was.

    Example: esn-dist run configs/quickstart.yaml
    """
    from esn_dist.sweep.load import load_sweep

    loaded = load_sweep(sweep)
    if store is not None:
        moved = {"store": store.resolve()} | ({"cache": store.resolve() / "cache"} if loaded.own_cache else {})
        loaded = loaded.model_copy(update=moved)
    try:
        from esn_dist.cluster.driver import run as drive
        from esn_dist.cluster.progress import Progress
    except ModuleNotFoundError as error:
        raise UserError(
            f"this install cannot run models: {error.name} is missing", fix="pip install 'esn-dist[run]'"
        ) from None
    assert loaded.store
    console = Console(stderr=as_json)
    with Progress(console) as progress:
        result = drive(loaded, sweep.read_text(encoding="utf-8"), actors=actors, progress=progress)
    if as_json:
        typer.echo(json.dumps({"store": str(loaded.store), **asdict(result), "lost": sorted(result.lost)}, indent=1))
    else:
        _conclude(console, loaded.store, result, sweep)
    raise typer.Exit(128 + result.interrupted if result.interrupted else int(bool(result.parked or result.left)))


def _conclude(console: Console, store: Path, result: Any, sweep: Path) -> None:
    """The end of a run for a person: the summary, or what is missing and what to do."""
    for unit, reason in result.parked.items():
        console.print(f"failed: {unit}: {reason}", markup=False)
    for clip in sorted(result.lost):
        console.print(f"could not be read: {clip}", markup=False)
    if result.interrupted or result.left:
        console.print(f"{result.left} units are left; run it again: esn-dist run {sweep}", markup=False)
        return
    from esn_dist.report.terminal import summary

    rows, baselines = _effects(store)
    console.print(summary(rows, baselines))
    console.print(f"everything is in {store}; more: esn-dist report {store}", markup=False)


@app.command(epilog=EPILOG)
@_mendable
def status(folder: StoreArgument, as_json: AsJson = False) -> None:
    """Show what is done, running and failed, and how long it will take; works during a run and after it."""
    from esn_dist.report.status import status_text
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.state import read_state

    state = read_state(StoreFolder(folder))
    typer.echo(json.dumps(state, indent=1) if as_json else status_text(state))


@app.command(epilog=EPILOG)
@_mendable
def report(folder: StoreArgument, as_json: AsJson = False) -> None:
    """Print the summary tables of a store as Markdown, or one JSON row per selector × intervention × corpus."""
    rows, baselines = _effects(folder)
    if as_json:
        from esn_dist.report.tables import json_rows

        typer.echo(json.dumps(json_rows(rows), indent=1))
        return
    from esn_dist.report.markdown import markdown
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe

    corpora = describe(StoreFolder(folder)).corpora
    text = markdown(rows, baselines, {name: facts["set_aside"] for name, facts in corpora.items()})
    sys.stdout.write(text)


@app.command(epilog=EPILOG)
@_mendable
def doctor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A registered name, folder, hub id or model type.")],
    deep: Annotated[bool, typer.Option("--deep", help="Load it, too, and hold it against slow references.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look a model over: gates, parameters, memory, and whether it is supported; of a folder also files and shapes.

    Example: esn-dist doctor qwen2_audio
    """
    try:
        from esn_dist.inference.selfcheck import self_check
        from esn_dist.models.doctor import diagnose, doctor_text
    except ModuleNotFoundError as error:
        raise UserError(
            f"this install cannot look into models: {error.name} is missing", fix="pip install 'esn-dist[run]'"
        ) from None
    facts = diagnose(model)
    if deep:
        facts["deep"] = self_check(model)
    typer.echo(json.dumps(facts, indent=1) if as_json else doctor_text(facts))
    raise typer.Exit(int(not facts["supported"] or not all(facts["deep"].values())))


def _effects(folder: Path) -> tuple[list[Any], list[Any]]:
    """Rows of all finished cells of a store, and its baselines."""
    from esn_dist.analysis.summary import baselines, summarise
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe, open_answers

    store = StoreFolder(folder)
    models = describe(store).models
    opened = [open_answers(store, m, c, complete=True).load() for m, facts in models.items() for c in facts["answers"]]
    datasets = [d for d in opened if "baseline" in d.intervention.values]
    if not datasets:
        raise UserError(
            "no baseline is finished yet, so there is nothing to compare with", where=str(folder),
            fix=f"esn-dist status {folder}",
        )  # fmt: skip
    return summarise(datasets), baselines(datasets)


if __name__ == "__main__":
    main()

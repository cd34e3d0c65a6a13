"""The door: `esn-dist plan | corpora | run | status | report | power | masks`, with good help and honest exit codes.

A light install (no torch, no Ray) offers all but `run`, which says what to install. Everything heavy is
imported by the command that needs it, so that `plan` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from functools import partial, wraps
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

masks = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Share a sweep's masks.", epilog=EPILOG)
app.add_typer(masks, name="masks")

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="What to run, e.g. configs/quickstart.yaml.")]
StoreArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="A sweep's folder, e.g. store/quickstart.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Folder of results; default: the sweep's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Params = ParamSpec("Params")


def main() -> None:
    """Entry point of the console script."""
    app()


def _mendable(command: Callable[Params, None]) -> Callable[Params, None]:
    """A user's mistake is printed without a traceback and exits with 2; a second Ctrl-C exits with 130 at once."""

    @wraps(command)
    def wrapped(*args: Params.args, **kwargs: Params.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("stopped at once; run it again to go on", err=True)
            raise typer.Exit(130) from None

    return wrapped


@app.command(epilog=EPILOG)
@_mendable
def plan(sweep: SweepFile, as_json: AsJson = False) -> None:
    """Show what a sweep would run: studies, cells, answers, units, store size. Loads no model and needs no GPU."""
    from esn_dist.corpora.index_counts import glance
    from esn_dist.models.source import local_shapes
    from esn_dist.report.plan import plan_facts, plan_text
    from esn_dist.sweep.forecast import forecast
    from esn_dist.sweep.load import load_sweep

    loaded = load_sweep(sweep)
    facts = forecast(loaded, {spec.name: glance(spec) for spec in loaded.corpora}, local_shapes(loaded.models))
    typer.echo(json.dumps(plan_facts(facts), indent=1) if as_json else plan_text(facts))


@app.command(epilog=EPILOG)
@_mendable
def corpora(
    sweep: SweepFile,
    headers: Annotated[bool, typer.Option("--headers", help="Read headers only: fast, blind to damage.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per CPU core.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the corpora of a sweep hold: counts, hours, what is set aside and why, the sets a run would draw.

    Decodes every clip of the studied emotions. Loads no model, needs no GPU, and writes nothing beside a corpus.
    Exits with 2 where a corpus cannot be read or is too small, after showing all of them.
    """
    from rich.progress import Progress as Bar

    from esn_dist.corpora.survey import survey
    from esn_dist.report.corpora import corpora_facts, corpora_text
    from esn_dist.sweep.load import load_sweep

    loaded = load_sweep(sweep)
    assert loaded.cache
    found = []
    with Bar(console=Console(stderr=True), transient=True) as bar:
        for spec in loaded.corpora:
            task = bar.add_task(f"corpus {spec.name}", total=None)
            report = partial(_advance, bar, task)
            found.append(
                survey(spec, loaded.seed, loaded.cache, workers=workers or os.cpu_count() or 1, headers_only=headers,
                       progress=report)
            )  # fmt: skip
    typer.echo(json.dumps(corpora_facts(found), indent=1) if as_json else corpora_text(found))
    if any(one.problem for one in found):
        raise typer.Exit(2)


def _advance(bar: Any, task: Any, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


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
        from esn_dist.runner.driver import run as drive
        from esn_dist.runner.progress import Progress
    except ModuleNotFoundError as error:
        raise UserError(
            f"this install cannot run models: {error.name} is missing", fix="pip install 'esn-dist[run]'"
        ) from None
    assert loaded.store
    console = Console(stderr=as_json)
    # Ray tells of killed workers on stdout, where whoever asked for JSON reads nothing else.
    with redirect_stdout(sys.stderr) if as_json else nullcontext(), Progress(console) as progress:
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
    if result.splits:
        console.print(f"{result.splits} batches did not fit into a GPU's memory and were answered in halves")
    if result.peak_bytes:
        console.print(f"most memory in use on a GPU: {result.peak_bytes / 1e9:.1f} GB")
    if result.interrupted or result.left:
        left = f"{result.left} units are left" if result.left else "stopped before any unit was planned"
        console.print(f"{left}; run it again: esn-dist run {sweep}", markup=False)
        return
    from esn_dist.report.terminal import summary

    rows, baselines = _effects(store)
    console.print(summary(rows, baselines))
    for line in _speakers(store):
        console.print(line, markup=False)
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
def report(
    folder: StoreArgument,
    out: Annotated[Path | None, typer.Option(help="Write the whole report here: HTML, Markdown, LaTeX, CSV.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap resamples.")] = 5000,
    seed: Annotated[int, typer.Option(help="Of the resamples.")] = 0,
    by_speaker: Annotated[bool, typer.Option("--by-speaker", help="Resample speakers, not utterances.")] = False,
    leave_out_invalid: Annotated[
        bool, typer.Option("--leave-out-invalid", help="Leave out answers that name no option; else they are wrong.")
    ] = False,
    stability: Annotated[int, typer.Option(min=0, help="With --out: bootstrapped identification sets, e.g. 20.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print the summary tables of a store as Markdown, or one JSON row per condition; with --out, write everything.

    Example: esn-dist report store/quickstart --out report
    """
    reading = {"draws": draws, "seed": seed, "by_speaker": by_speaker, "invalid_is_wrong": not leave_out_invalid}
    if out is not None:
        _write_report(folder, out, {**reading, "stability": stability})
        return
    rows, baselines = _effects(folder, **reading)
    if as_json:
        from esn_dist.report.tables import json_rows

        typer.echo(json.dumps(json_rows(rows), indent=1))
        return
    from esn_dist.report.markdown import markdown
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe

    corpora = describe(StoreFolder(folder)).corpora
    set_aside = {name: facts["set_aside"] for name, facts in corpora.items()}
    text = markdown(rows, baselines, set_aside, _speakers(folder))
    sys.stdout.write(text)


@app.command(epilog=EPILOG)
@_mendable
def doctor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A registered name, folder, hub id or model type.")],
    deep: Annotated[bool, typer.Option("--deep", help="Load it, too, and hold it against slow references.")] = False,
    sparse_gates: Annotated[
        bool, typer.Option("--sparse-gates", help="As in a sweep: take gates that a top-k sets to zero as they are.")
    ] = False,
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
    facts = diagnose(model, sparse_gates)
    if deep and facts["supported"]:
        facts["deep"] = self_check(model)
    typer.echo(json.dumps(facts, indent=1) if as_json else doctor_text(facts))
    raise typer.Exit(int(not facts["supported"] or not all(facts["deep"].values())))


def _write_report(folder: Path, out: Path, settings: dict[str, int]) -> None:
    from esn_dist.report.findings import Settings, collect
    from esn_dist.report.folder import missing, write_report
    from esn_dist.store.folder import StoreFolder

    written = write_report(collect(StoreFolder(folder), Settings(**settings)), out)  # type: ignore[arg-type]
    typer.echo(f"{len(written)} files in {out}; open {out / 'report.html'}")
    if lacking := missing(written):
        typer.echo(lacking, err=True)


def _speakers(folder: Path) -> list[str]:
    """For which utterances the speakers that should be apart are not known to be."""
    from esn_dist.report.speakers import unpromised
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe
    from esn_dist.store.speakers import read_speakers

    store = StoreFolder(folder)
    return unpromised(read_speakers(store, corpus) for corpus in describe(store).corpora)


def _effects(folder: Path, **reading: Any) -> tuple[list[Any], list[Any]]:
    """Rows of all finished cells of a store, and its baselines."""
    from esn_dist.analysis.summary import baselines, summarise
    from esn_dist.report.findings import finished
    from esn_dist.store.folder import StoreFolder

    datasets = list(finished(StoreFolder(folder))[0].values())
    return summarise(datasets, **reading), baselines(datasets, **reading)


@app.command(epilog=EPILOG)
@_mendable
def power(
    effect: Annotated[float, typer.Option(help="Change of accuracy to find, in percentage points, e.g. -2.")],
    flipped: Annotated[float | None, typer.Option(help="Share of answers that change at all, e.g. 0.1.")] = None,
    store: Annotated[Path | None, typer.Option(help="Take the shares from this sweep's cells instead.")] = None,
    target: Annotated[float, typer.Option(help="Chance to find it.")] = 0.8,
    level: Annotated[float, typer.Option(help="Of the test.")] = 0.05,
    tests: Annotated[int, typer.Option(min=1, help="Size of the family of tests (Bonferroni).")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say how many utterances an effect needs, by the power of the exact McNemar test.

    Example: esn-dist power --effect -2 --flipped 0.1
    """
    from esn_dist.report.power import power_rows, power_text

    rows = power_rows(effect, flipped, store, target=target, level=level / tests)
    typer.echo(json.dumps(rows, indent=1) if as_json else power_text(rows, effect, target, level, tests))


@masks.command("export", epilog=EPILOG)
@_mendable
def masks_export(
    folder: StoreArgument,
    out: Annotated[Path, typer.Option(help="File to write, e.g. masks.json.")],
    model: Annotated[str | None, typer.Option(help="Default: the only one.")] = None,
    selector: Annotated[list[str] | None, typer.Option(help="Only these; repeat it.")] = None,
    corpus: Annotated[list[str] | None, typer.Option(help="Only masks from these corpora.")] = None,
    emotion: Annotated[list[str] | None, typer.Option(help="Only masks of these emotions.")] = None,
) -> None:
    """Write a sweep's masks as a small JSON file that can be shared and cited.

    Example: esn-dist masks export store/quickstart --selector ConAct --out conact.json
    """
    from esn_dist.api import open_sweep

    wanted = {"selector": selector, "source_corpus": corpus, "source_emotion": emotion}
    written = open_sweep(folder).export_masks(out, model=model, **{k: v for k, v in wanted.items() if v})
    typer.echo(f"{written} masks in {out}")


if __name__ == "__main__":
    main()

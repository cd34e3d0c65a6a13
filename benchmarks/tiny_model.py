"""Trains the tiny model from several seeds, measures each by the quickstart's own sweep, and names the median.

    python benchmarks/tiny_model.py --out store/tiny-seeds        # a GPU: about five minutes of training; then CPU

A seed whose checkpoint is already in the folder is not trained again, and an interrupted sweep continues. Two sweeps
run, which differ only in their voices: `development`, on which the recipe was tuned and the seed is chosen, and
`evaluation`, which decides nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer
import yaml

VOICES = ("development", "evaluation")
QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.yaml"


def main(
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, stores and the table.")],
    seeds: Annotated[int, typer.Option(help="Number of models to train.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the table's numbers here too.")] = None,
) -> None:
    """Train, measure, print a table of all seeds."""
    numbers = range(seeds)
    train_missing(out, numbers)
    rows = {voices: measured(out, numbers, voices) for voices in VOICES}
    median = sorted(numbers, key=lambda seed: rows["development"][seed]["accuracy"])[seeds // 2]
    print(table(rows, median))
    if json_file:
        json_file.write_text(json.dumps({"rows": rows, "median": median}, indent=1) + "\n", encoding="utf-8")


def train_missing(out: Path, seeds: range) -> None:
    """All seeds that have no finished checkpoint, side by side: one tiny model does not fill a GPU."""
    command = [sys.executable, "-m", "esn_dist.models.tiny.train", "--corpora", str(out / "speech")]
    missing = [seed for seed in seeds if not (out / f"seed-{seed}" / "training.json").is_file()]
    running = []
    for number, seed in enumerate(missing):
        running.append(subprocess.Popen([*command, "--out", str(out / f"seed-{seed}"), "--seed", str(seed)]))
        if number == 0 and not (out / "speech").is_dir():
            running[0].wait()  # the first one makes the speech that the others share
    if any(process.wait() for process in running):
        raise SystemExit("a training failed")


def measured(out: Path, seeds: range, voices: str) -> list[dict[str, Any]]:
    """Accuracy and deactivation effects of every seed on the voices of one split, by the quickstart's sweep."""
    sweep = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    sweep["name"] = f"tiny-{voices}"
    sweep["cache"] = str((out / "cache").resolve())
    sweep["models"] = [
        {"name": f"seed-{s}", "model": "tiny-qwen2.5-omni", "source": str((out / f"seed-{s}").resolve())} for s in seeds
    ]
    for corpus in sweep["corpora"]:
        corpus["evaluation"]["splits"] = [voices]
    path, store = out / f"{voices}.yaml", out / voices
    path.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    esn_dist("run", str(path), "--store", str(store))
    effects = json.loads(esn_dist("report", str(store), "--json"))
    return [row_of(f"seed-{seed}", effects, store) for seed in seeds]


def row_of(model: str, effects: list[dict[str, Any]], store: Path) -> dict[str, Any]:
    """Macro means over the corpora: baseline accuracy, and self, cross and gap of each selector."""
    from esn_dist.analysis.measured_effects import EffectSettings, measure
    from esn_dist.analysis.summary import baseline_rows
    from esn_dist.store.folder import StoreFolder
    from esn_dist.store.read import describe, open_answers

    folder = StoreFolder(store)
    answers = [open_answers(folder, model, corpus).load() for corpus in describe(folder).models[model]["answers"]]
    rows = baseline_rows(measure(dataset, EffectSettings(draws=1)) for dataset in answers)
    accuracies = [row.accuracy.point for row in rows if row.emotion == "all" and row.accuracy.point is not None]
    of_model = [e for e in effects if (e["model"], e["corpus"]) == (model, "all")]
    keys = ("self_effect", "cross_effect", "gap", "margin_self", "margin_cross")
    return {
        "accuracy": mean(accuracies),
        **{f"{e['intervention']} {e['selector']}": {key: e[key] for key in keys} for e in of_model},
    }


def table(rows: dict[str, list[dict[str, Any]]], median: int) -> str:
    """Markdown: one line per voices and seed, the median seed marked."""
    conditions = [name for name in next(iter(rows.values()))[0] if name != "accuracy"]
    shown = [name for name in conditions if name.startswith("deactivate")]
    lines = [["voices", "seed", "accuracy %", *(name.removeprefix("deactivate ") for name in shown)]]
    lines.append(["---"] * len(lines[0]))
    for voices, of_voices in rows.items():
        for seed, row in enumerate(of_voices):
            effects = [" / ".join(number(row[name][key]) for key in ("self_effect", "cross_effect")) for name in shown]
            mark = " (shipped)" if seed == median else ""
            lines.append([voices, f"{seed}{mark}", f"{row['accuracy']:.1f}", *effects])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Points with a sign, or a dash."""
    return "–" if value is None else f"{value:+.1f}"


def esn_dist(*arguments: str) -> str:
    """Run the command line as a user would; returns what it prints."""
    done = subprocess.run([sys.executable, "-m", "esn_dist", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    typer.run(main)

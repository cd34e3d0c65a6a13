"""The reference (batch 1), batched `generate`, our engine, and the rate of matrix products, all in one process.

    python benchmarks/engine.py --size tiny --json FILE    # the shipped model, on a CPU: about two minutes
    python benchmarks/engine.py --size full --json FILE    # Qwen2.5-Omni-7B's sizes, on one GPU: about five minutes

Every method answers the same questions under a mask that deactivates 0.5 % of the neurons, with the same model object.
The methods are in `speed/methods.py`, the questions in `speed/workload.py`. Rates are medians of rounds in which all
methods and the ceiling take turns.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from speed.ceiling import Ceiling
from speed.clock import at_threads, facts, peak_gb, reset_peak, rounded, seconds_of, thread_counts
from speed.methods import Generate, Method, SweepEngine
from speed.processes import rates_of_two
from speed.workload import Workload, thinned, workload_of

BATCH = 32
CELLS = 2  # of ours per round: one mask after the other
LABELS = {"reference": "reference (batch 1)"}
REUSED = (1, 10, 100)  # cells that share one encoding
# The slow methods answer every n-th clip of the full set, whose average length is the same.
EVERY = {"tiny": {"reference": 1, "batched": 1}, "full": {"reference": 16, "batched": 4}}
Recorded = dict[tuple[str, str, int], list[float]]
"""By method, setting and new tokens."""
OLD_NAMES = {"reference": "usual", "ratio_to_reference": "ratio_to_usual"}
"""Earlier spellings of keys in the JSON, which stay next to the new ones."""


def main(
    size: Annotated[Literal["tiny", "full"], typer.Option(help="Which model.")] = "tiny",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    utterances: Annotated[int, typer.Option(help="0: 120 at tiny size, 512 at full size.")] = 0,
    rounds: int = 3,
    seconds: Annotated[float, typer.Option(help="Of each measurement of the ceiling.")] = 2.0,
    token_budget: Annotated[int, typer.Option(help="Tokens of our batches at full size.")] = 65_536,
    dots: Annotated[int, typer.Option(help="Tokens by which the system prompt is longer at full size.")] = 0,
) -> None:
    """Measure, print a table, write JSON."""
    with tempfile.TemporaryDirectory() as folder:
        workload = workload_of(size, Path(folder), utterances, token_budget, dots)
        figures = {"size": size, **measure(workload, EVERY[size], rounds, seconds)}
    show(figures)
    if json_file:
        json_file.write_text(json.dumps(with_old_names(figures), indent=1) + "\n", encoding="utf-8")


def measure(workload: Workload, every: Mapping[str, int], rounds: int, seconds: float) -> dict[str, Any]:
    """All figures of `workload`, whose model is loaded here; the methods take turns in each of `rounds`."""
    device = workload.lm.device
    methods: dict[str, Method] = {
        "reference": Generate(workload, thinned(workload.clips, every["reference"]), 1),
        "batched": Generate(workload, thinned(workload.clips, every["batched"]), BATCH),
    }
    peaks = {name: warmed_up(method, workload) for name, method in methods.items()}
    methods["ours"] = ours = SweepEngine(
        workload, workload.clips
    )  # after the others' peaks: it keeps its batches on the device
    peaks["ours"] = warmed_up(ours, workload)
    ceiling = Ceiling(workload.lm, workload.token_budget, seconds)
    recorded: Recorded = defaultdict(list)
    limits: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name, method in methods.items():
            for new_tokens in (workload.new_tokens, 1):
                limits["square"].append(ceiling.square())
                take_turn(recorded, workload, name, method, new_tokens, number)
        limits["shapes"].append(ceiling.shapes())
    if device.type == "cpu":
        for new, rates in rates_of_two(workload, (workload.new_tokens, 1), CELLS * rounds).items():
            recorded["ours", "2 processes", new] = rates
    ceilings = {name: median(rates) for name, rates in limits.items()}
    return {
        **facts(device, workload.lm.dtype),
        "utterances": {name: len(method.clips) for name, method in methods.items()},
        **figures_of(recorded, workload, ours, ceiling, ceilings), "peak_memory_gb": peaks,
    }  # fmt: skip


def take_turn(recorded: Recorded, workload: Workload, name: str, method: Method, new_tokens: int, number: int) -> None:
    """One round of one method: ours answers several cells, the others one, at each number of threads."""
    cells = CELLS if name == "ours" else 1
    masks = [workload.mask(CELLS * number + cell) for cell in range(cells)]
    work = partial(method.answer, masks, new_tokens)
    for threads in thread_counts(workload.lm.device):
        with at_threads(threads):
            rate = cells * len(method.clips) / seconds_of(work)
        recorded[name, f"{threads} thread{'s'[: threads > 1]}", new_tokens].append(rate)


def warmed_up(method: Method, workload: Workload) -> float:
    """The first pass picks kernels and allocates; returns the method's peak of memory in GB."""
    reset_peak()
    method.answer([workload.mask(0)], workload.new_tokens)
    return peak_gb(workload.lm.device)


def figures_of(
    recorded: Recorded, workload: Workload, ours: SweepEngine, ceiling: Ceiling, limits: Mapping[str, float]
) -> dict[str, Any]:
    """The figures that follow from the recorded rates, each method at its best setting."""
    whole, settings = best(recorded, workload.new_tokens)
    first, _ = best(recorded, 1)
    tokens = ours.tokens_per_prompt
    flop = ceiling.flop_per_token * tokens
    once = ours.encode_seconds + ours.compose_seconds
    return {
        "tokens_per_prompt": round(tokens, 1),
        "shared_tokens": ours.prompt_batches.prefix,
        "new_tokens": workload.new_tokens,
        "answers_per_second": whole,
        "first_token_per_second": first,
        "setting": settings,
        "rates": by_setting(recorded),
        "ratio_to_reference": rounded(whole["ours"] / whole["reference"]),
        "ratio_to_batched": rounded(whole["ours"] / whole["batched"]),
        "matmul_tflops": {name: rounded(rate / 1e12) for name, rate in limits.items()},
        "square_side": ceiling.side,
        "tflop_per_answer": rounded(flop / 1e12),
        "share_of_matmul": rounded(flop * whole["ours"] / limits["square"]),
        "shares_of_matmul": {
            against: {
                "answers": {name: rounded(flop * rate / limit) for name, rate in whole.items()},
                "first_token": {name: rounded(flop * rate / limit) for name, rate in first.items()},
            }
            for against, limit in limits.items()
        },
        "encoded_per_second": rounded(len(ours.clips) / ours.encode_seconds),
        "composed_per_second": rounded(len(ours.clips) / ours.compose_seconds),
        "answers_per_second_with_encoding": {
            str(cells): rounded(cells * len(ours.clips) / (once + cells * len(ours.clips) / whole["ours"]))
            for cells in REUSED
        },
    }


def best(recorded: Recorded, new_tokens: int) -> tuple[dict[str, float], dict[str, str]]:
    """The median rate of each method at its best setting, and that setting."""
    medians = {(name, setting): median(rates) for (name, setting, new), rates in recorded.items() if new == new_tokens}
    settings: dict[str, str] = {}
    for name, setting in medians:
        settings[name] = max(setting, settings.get(name, setting), key=lambda setting: medians[name, setting])
    return {name: rounded(medians[name, setting]) for name, setting in settings.items()}, settings


def by_setting(recorded: Recorded) -> dict[str, dict[str, list[float]]]:
    """Every measurement: by method, and by setting and new tokens."""
    measurements: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for (name, setting, new), rates in recorded.items():
        measurements[name][f"{setting}, {new} new"] = list(map(rounded, rates))
    return measurements


def with_old_names(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures, at any depth, with the values of `OLD_NAMES` next to those of the new names."""
    named = {key: with_old_names(value) if isinstance(value, dict) else value for key, value in figures.items()}
    return named | {OLD_NAMES[key]: value for key, value in named.items() if key in OLD_NAMES}


def show(figures: Mapping[str, Any]) -> None:
    """The table."""
    table = Table("method", "answers/s", "first tokens/s", "share of products", "peak GB", "setting")
    shares = figures["shares_of_matmul"]["square"]["answers"]
    for name, rate in figures["answers_per_second"].items():
        table.add_row(
            LABELS.get(name, name), f"{rate:g}", f"{figures['first_token_per_second'][name]:g}", f"{shares[name]:.1%}",
            f"{figures['peak_memory_gb'][name]:g}", figures["setting"][name],
        )  # fmt: skip
    console = Console()
    console.print(
        f"{figures['device']}, {figures['dtype']}, {figures['tokens_per_prompt']} tokens per prompt, "
        f"{figures['shared_tokens']} of them shared by all prompts"
    )
    console.print(table)
    products = figures["matmul_tflops"]
    console.print(
        f"ours: {figures['ratio_to_reference']:g} × the reference, {figures['ratio_to_batched']:g} × batched generate. "
        f"Matrix products: {products['square']:g} TFLOP/s square, {products['shapes']:g} of the layers' shapes. "
        f"Encoding, once: {figures['encoded_per_second']:g} clips/s."
    )


if __name__ == "__main__":
    typer.run(main)

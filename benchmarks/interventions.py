"""The cost of interventions, against unintervened cells: one or all layers, masks per batch, the gate path and Mix.

    python benchmarks/interventions.py --size tiny --json FILE    # on a CPU: about a minute
    python benchmarks/interventions.py --size full --json FILE    # on one GPU

Steering engines publish their costs in this form. Our engine always has one mask at a time: 8 or 32 masks per batch are
8 or 32 cells one after the other, each over 1/8 or 1/32 of the utterances. Every condition takes turns with
unintervened cells; its overhead is the median over such pairs. The gate path runs in the padded engine, against
unintervened cells of the same engine. Mix needs every position of a row, so it is compared with an unintervened cell
that computes them all too.
Masks are prepared before the clock runs: in a sweep they are prepared while another unit is answered.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS
from esn_dist.gates.mix import Mix
from esn_dist.gates.scale import Scale, ScaleMethod
from speed.clock import at_threads, facts, rounded, seconds_of, thread_counts
from speed.methods import SCALE, IdleObserver, Mask, SweepEngine
from speed.workload import Workload, workload_of

MASKS = (1, 8, 32)  # per batch
MIX = (1.0, 0.1)
"""Gain and temperature; no figure depends on them."""
MIXED = "mix"
Work = Callable[[int], Callable[[], object]]
"""Draws and prepares masks from a seed; returns a function that answers every utterance once under them."""


def main(
    size: Annotated[Literal["tiny", "full"], typer.Option(help="Which model.")] = "tiny",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    utterances: Annotated[int, typer.Option(help="0: 128 at tiny size, 1,024 at full size.")] = 0,
    rounds: int = 3,
    token_budget: Annotated[int, typer.Option(help="Tokens of our batches at full size.")] = 65_536,
) -> None:
    """Measure, print a table, write JSON."""
    with tempfile.TemporaryDirectory() as folder:
        count = utterances or {"tiny": 128, "full": 1_024}[size]
        workload = workload_of(size, Path(folder), count, token_budget)
        figures = {"size": size, **measure(workload, rounds)}
    show(figures)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(workload: Workload, rounds: int) -> dict[str, Any]:
    """Answers per second of every condition, and its overhead against the unintervened cell of its pair."""
    device, ours = workload.lm.device, SweepEngine(workload, workload.clips)
    hooked = SweepEngine(workload, workload.clips, packed=False, encoded_by=ours)
    conditions = {
        name: (ours, work) for masks in MASKS for name, work in many_mask_conditions(workload, ours, masks).items()
    }
    conditions |= {
        name: (engine, work)
        for engine in (ours, hooked)
        for name, work in one_mask_conditions(workload, engine).items()
    }
    with at_threads(thread_counts(device)[0]):
        pairs = {
            name: [timed_pair(engine, name, work, seed) for seed in range(rounds)]
            for name, (engine, work) in conditions.items()
        }
    count = len(workload.clips)
    return {
        **facts(device, workload.lm.dtype),
        "utterances": count, "tokens_per_prompt": round(ours.tokens_per_prompt, 1), "new_tokens": workload.new_tokens,
        "unsteered": rounded(count / median(plain for both in pairs.values() for plain, _ in both)),
        "answers_per_second": {n: rounded(count / median(steered for _, steered in both)) for n, both in pairs.items()},
        "overhead": {n: rounded(median(steered / plain - 1 for plain, steered in both)) for n, both in pairs.items()},
    }  # fmt: skip


def timed_pair(ours: SweepEngine, name: str, work: Work, seed: int) -> tuple[float, float]:
    """Seconds of an unintervened pass of the same engine and of `work`, one after the other."""
    new, idle, steered = ours.workload.new_tokens, IdleObserver() if name == MIXED else None, work(seed)
    if seed == 0:
        ours.prompt_batches.answer(new, transform=idle)
        steered()  # picks kernels, allocates
    return seconds_of(lambda: ours.prompt_batches.answer(new, transform=idle)), seconds_of(steered)


def one_mask_conditions(workload: Workload, ours: SweepEngine) -> dict[str, Work]:
    """Conditions with one mask over all utterances: folded in the packed engine, at the gate in the padded one."""
    method: ScaleMethod = "fold" if ours.packed else "gate"

    def steered(one_layer: bool) -> Work:
        def work(seed: int) -> Callable[[], object]:
            member_LN = only_middle(workload.mask(seed)) if one_layer else workload.mask(seed)
            return partial(
                ours.prompt_batches.answer_under, [Scale(workload.gates, member_LN, SCALE, method)], workload.new_tokens
            )

        return work

    def unsteered(seed: int) -> Callable[[], object]:
        return partial(ours.prompt_batches.answer, workload.new_tokens)

    def mixed(seed: int) -> Callable[[], object]:
        member_ELN = np.stack(
            [workload.mask(len(SYNTHETIC_EMOTIONS) * seed + e) for e in range(len(SYNTHETIC_EMOTIONS))]
        )
        return partial(ours.prompt_batches.answer, workload.new_tokens, transform=Mix(workload.gates, member_ELN, *MIX))

    layers = {"one layer": True, "all layers": False}
    conditions = {f"{name}, {method}": steered(one_layer) for name, one_layer in layers.items()}
    return {**conditions, **({"unsteered again": unsteered, MIXED: mixed} if ours.packed else {})}


def many_mask_conditions(workload: Workload, ours: SweepEngine, masks: int) -> dict[str, Work]:
    """One mask after the other, each over a share of the utterances, whose batches are composed before."""
    if masks > len(workload.clips):
        return {}
    shares = [ours.prompt_batches_of(range(start, len(workload.clips), masks)) for start in range(masks)]

    def work(seed: int) -> Callable[[], object]:
        transforms = [Scale(workload.gates, workload.mask(masks * seed + n), SCALE, "fold") for n in range(masks)]

        def answered() -> None:
            for share, transform in zip(shares, transforms, strict=True):
                share.answer_under([transform], workload.new_tokens)

        return answered

    return {f"{masks} mask{'s'[: masks > 1]} per batch, fold": work}


def only_middle(member_LN: Mask) -> Mask:
    """The mask restricted to the middle layer."""
    middle_LN = np.zeros_like(member_LN)
    middle_LN[len(middle_LN) // 2] = member_LN[len(middle_LN) // 2]
    return middle_LN


def show(figures: Mapping[str, Any]) -> None:
    """The table."""
    table = Table("condition", "answers/s", "overhead")
    table.add_row("unsteered", f"{figures['unsteered']:g}", "")
    for name, rate in figures["answers_per_second"].items():
        table.add_row(name, f"{rate:g}", f"{figures['overhead'][name]:+.1%}")
    console = Console()
    console.print(f"{figures['device']}, {figures['dtype']}, {figures['tokens_per_prompt']} tokens per prompt")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

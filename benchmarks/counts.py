"""The cost of logging positive-activation counts while the identification set is answered.

    python benchmarks/counts.py --size tiny --json FILE    # on a CPU: under a minute
    python benchmarks/counts.py --size full --json FILE    # on one GPU

Ours is compared with the same pass without counts, and with the usual hook: (g > 0) summed over positions on the
device and then fetched, layer by layer. The hook runs in our padded engine and in batched `generate`; ours calls no
hooks. Counting needs every token, so it is compared with a pass that computes them all. Passes take turns. A sweep
fetches the counts of one unit while the next one is answered, so ours is measured without and with fetching. On a GPU
the added time of kernels and of copies is measured separately, whatever the host does. Writing to the store is not
included.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from esn_dist.gates.find import Gate
from speed.clock import at_threads, facts, rounded, seconds_of, thread_counts
from speed.methods import Generate, IdleObserver, SweepEngine
from speed.workload import Workload, thinned, workload_of

BATCH = 32
EVERY = {"tiny": 1, "full": 4}  # batched generate answers every n-th clip
PLAIN = {
    "ours, counted": "ours, every token",
    "ours, counted, fetched": "ours, every token",
    "plain engine, usual hook": "plain engine",
    "batched, usual hook": "batched",
}
"""The pass that each counting pass is compared with: the same work without counts."""
ADDED = ("added_to_time", "added_to_gpu_time", "added_by_copies")
Pass = Callable[[], object]
Busy = defaultdict[str, tuple[int, float]]
"""Launches and seconds of each kernel, and each kind of copy."""


class Fetched(list[Tensor]):
    """Counts [batch, neuron] of each call of an activation."""


def main(
    size: Annotated[Literal["tiny", "full"], typer.Option(help="Which model.")] = "tiny",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    utterances: Annotated[int, typer.Option(help="0: 120 at tiny size, 512 at full size.")] = 0,
    rounds: int = 5,
    token_budget: Annotated[int, typer.Option(help="Tokens of our batches at full size.")] = 65_536,
) -> None:
    """Measure, print a table, write JSON."""
    with tempfile.TemporaryDirectory() as folder:
        workload = workload_of(size, Path(folder), utterances, token_budget)
        figures = {"size": size, **measure(workload, EVERY[size], rounds)}
    show(figures)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(workload: Workload, every: int, rounds: int) -> dict[str, Any]:
    """Rates with and without counts, and the time that counting adds to a pass."""
    device, ours = workload.lm.device, SweepEngine(workload, workload.clips)
    slow = Generate(workload, thinned(workload.clips, every), BATCH)
    plain = SweepEngine(workload, workload.clips, packed=False, encoded_by=ours)
    passes = passes_of(workload, ours, plain, slow)
    with at_threads(thread_counts(device)[0]):
        warm = {name: work() for name, work in passes.items()}
        times: dict[str, list[float]] = {name: [] for name in passes}
        for _ in range(rounds):
            for name, work in passes.items():
                times[name].append(seconds_of(work))
    busy = {name: busy_seconds(work) for name, work in passes.items()} if device.type == "cuda" else {}
    extra = {name: added_work(busy[name], busy[plain]) for name, plain in PLAIN.items() if busy}
    clips = {name: len((slow if name.startswith("batched") else ours).clips) for name in passes}
    return {
        **facts(device, workload.lm.dtype), "utterances": clips,
        "tokens_per_prompt": round(ours.tokens_per_prompt, 1), "new_tokens": workload.new_tokens,
        "answers_per_second": {name: rounded(clips[name] / median(taken)) for name, taken in times.items()},
        "added_to_time": {name: rounded(added(times[name], times[plain])) for name, plain in PLAIN.items()},
        "added_to_gpu_time": {name: rounded(kernels) for name, (kernels, _) in extra.items()},
        "added_by_copies": {name: rounded(copies) for name, (_, copies) in extra.items()},
        "gpu_busy_seconds": {name: rounded(sum(s for _, s in events.values())) for name, events in busy.items()},
        "hook_calls": {name: len(seen) for name, seen in warm.items() if isinstance(seen, Fetched)},
    }  # fmt: skip


def passes_of(workload: Workload, ours: SweepEngine, plain: SweepEngine, slow: Generate) -> dict[str, Pass]:
    """Each pass answers all its clips once, without a mask."""

    def answered() -> object:
        return plain.prompt_batches.answer(workload.new_tokens)

    def generated() -> object:
        return slow.answer([None], workload.new_tokens)

    return {
        "ours": lambda: ours.prompt_batches.answer(workload.new_tokens),
        "ours, every token": lambda: ours.prompt_batches.answer(workload.new_tokens, transform=IdleObserver()),
        "ours, counted": lambda: ours.prompt_batches.answer_and_count(workload.new_tokens, workload.gates),
        "ours, counted, fetched": lambda: ours.prompt_batches.answer(workload.new_tokens, counted=workload.gates),
        "plain engine": answered,
        "plain engine, usual hook": under_usual_hook(workload.gates, answered),
        "batched": generated,
        "batched, usual hook": under_usual_hook(workload.gates, generated),
    }


def under_usual_hook(gates: Sequence[Gate], work: Pass) -> Pass:
    """`work` while each layer's counts are summed by a hook and fetched at once."""

    def hooked() -> object:
        fetched = Fetched()

        def count(module: nn.Module, args: tuple[Tensor, ...], g: Tensor) -> None:
            fetched.append((g > 0).sum(-2).cpu())

        handles = [gate.activation.register_forward_hook(count) for gate in gates]
        try:
            work()
        finally:
            for handle in handles:
                handle.remove()
        return fetched

    return hooked


def added(counting: Sequence[float], plain: Sequence[float]) -> float:
    """The median share by which a pass takes longer than the plain one of its round."""
    return median(a / b - 1 for a, b in zip(counting, plain, strict=True))


def busy_seconds(work: Pass) -> Busy:
    """Launches and seconds of the GPU's kernels and copies."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    busy: Busy = defaultdict(lambda: (0, 0.0))
    for event in (event for event in profiler.events() or () if event.device_type.name == "CUDA"):
        launches, seconds = busy[event.name]
        busy[event.name] = launches + 1, seconds + event.time_range.elapsed_us() / 1e6
    return busy


def added_work(counting: Busy, plain: Busy) -> tuple[float, float]:
    """Shares of the plain pass's time that kernels, and copies to the host, add to it.

    Only those that are launched more or less often: the others do the same work in both passes, and differ by the
    clock, which moves by more than counts cost.
    """
    names = [name for name in counting.keys() | plain.keys() if counting[name][0] != plain[name][0]]
    added = {name: counting[name][1] - plain[name][1] for name in names}
    whole = sum(seconds for _, seconds in plain.values())
    copies = sum(seconds for name, seconds in added.items() if name.startswith("Memcpy DtoH"))
    return (sum(added.values()) - copies) / whole, copies / whole


def show(figures: Mapping[str, Any]) -> None:
    """The table."""
    table = Table("pass", "answers/s", "added to its time", "added to GPU time", "by copies")
    for name, rate in figures["answers_per_second"].items():
        shares = (figures[key].get(name) for key in ADDED)
        table.add_row(name, f"{rate:g}", *("" if share is None else f"{share:+.1%}" for share in shares))
    console = Console()
    console.print(f"{figures['device']}, {figures['dtype']}, {figures['tokens_per_prompt']} tokens per prompt")
    console.print(table)
    for name in (name for name, seen in figures["hook_calls"].items() if not seen):
        console.print(f"{name}: no activation module was called, so the hook saw nothing and its cost means nothing")


if __name__ == "__main__":
    typer.run(main)

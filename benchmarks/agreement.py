"""Answers of the reference (batch 1) compared with ours, on the same prompts, with and without a mask, in each dtype.

    python benchmarks/agreement.py --size tiny --json FILE    # the shipped model, where there is a GPU on that
    python benchmarks/agreement.py --size full --json FILE    # Qwen2.5-Omni-7B's sizes, random weights, on one GPU

The shipped model answers real prompts in float32 and bfloat16; random weights show only that the numbers agree. Where
the reference's two best options are closer than `TIE`, an answer may differ by rounding alone. Such ties are counted.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.table import Table

from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS
from esn_dist.task.answers import read_answer
from speed.clock import facts
from speed.methods import Generate, Mask, SweepEngine
from speed.workload import Workload, order_of, tiny, workload_of

TIE = {"float32": 1e-3, "bfloat16": 0.1}  # between log-probabilities


def main(
    size: Annotated[Literal["tiny", "full"], typer.Option(help="Which model.")] = "tiny",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    utterances: Annotated[int, typer.Option(help="0: 200 at tiny size, 64 at full size.")] = 0,
) -> None:
    """Compare, print a table, write JSON."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        if size == "tiny":
            workloads = [tiny(Path(folder), utterances or 200, dtype, device) for dtype in TIE]
        else:
            workloads = [workload_of(size, Path(folder), utterances or 64, 65_536)]
        conditions = [facts(workload.lm.device, workload.lm.dtype) for workload in workloads]
        by_dtype = {str(c["dtype"]): agreement(workload) for c, workload in zip(conditions, workloads, strict=True)}
    figures = {"size": size, "device": conditions[0]["device"], "versions": conditions[0]["versions"]}
    figures |= {"agreement": by_dtype}
    show(figures)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def agreement(workload: Workload) -> dict[str, dict[str, Any]]:
    """Both methods compared, without and with a mask."""
    reference, ours = Generate(workload, workload.clips, 1), SweepEngine(workload, workload.clips)
    return {
        name: compared(workload, reference, ours, member_LN)
        for name, member_LN in {"unsteered": None, "deactivated": workload.mask(0)}.items()
    }


def compared(workload: Workload, reference: Generate, ours: SweepEngine, member_LN: Mask | None) -> dict[str, Any]:
    """Shares and differences over all clips; the tolerance of a tie is by dtype."""
    tokens, first = reference.generate(member_LN, workload.new_tokens, logits=True)
    texts = [workload.lm.decode(row) for row in tokens]
    (rows,) = ours.answer([member_LN], workload.new_tokens)
    expected = np.array([code_of(text, path) for text, path in zip(texts, workload.clips, strict=True)])
    logprob_nE = np.stack([options_of(workload, *both) for both in zip(first, workload.clips, strict=True)])
    best_two = np.sort(logprob_nE, axis=1)[:, -2:]
    tied = best_two[:, 1] - best_two[:, 0] < TIE[str(workload.lm.dtype).removeprefix("torch.")]
    equal = expected == rows.answer
    return {
        "utterances": len(texts),
        "answered": int((rows.answer >= 0).sum()),
        "answers_equal": float(equal.mean()),
        "texts_equal": float(np.mean([a == b for a, b in zip(texts, rows.text, strict=True)])),
        "unequal": int((~equal).sum()),
        "unequal_without_tie": int((~equal & ~tied).sum()),
        "ties": int(tied.sum()),
        "best_options_equal": float((logprob_nE.argmax(1) == rows.logprob.argmax(1)).mean()),
        "largest_logprob_difference": float(np.abs(logprob_nE - rows.logprob).max()),
    }


def code_of(text: str, path: Path) -> int:
    """The code of the emotion that a text names, or −1."""
    order = order_of(path)
    number = read_answer(text, order)
    return -1 if number is None else SYNTHETIC_EMOTIONS.index(order[number - 1])


def options_of(workload: Workload, logits_V: torch.Tensor, path: Path) -> npt.NDArray[np.float32]:
    """Log-probabilities of the options' numbers, by emotion."""
    numbers, order = workload.lm.number_tokens(len(SYNTHETIC_EMOTIONS)), order_of(path)
    logprob_V = logits_V.log_softmax(-1).cpu().numpy()
    return np.asarray([logprob_V[numbers[order.index(e)]] for e in SYNTHETIC_EMOTIONS], np.float32)


def show(figures: Mapping[str, Any]) -> None:
    """Print the table."""
    table = Table(
        "dtype",
        "gates",
        "answers equal",
        "best options equal",
        "unequal (not tied)",
        "ties",
        "largest Δ log-probability",
    )
    for dtype, by_gates in figures["agreement"].items():
        for gates, row in by_gates.items():
            table.add_row(
                dtype, gates, f"{row['answers_equal']:.1%} of {row['utterances']}", f"{row['best_options_equal']:.1%}",
                f"{row['unequal']} ({row['unequal_without_tie']})", str(row["ties"]),
                f"{row['largest_logprob_difference']:.2g}",
            )  # fmt: skip
    console = Console()
    console.print(figures["device"])
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

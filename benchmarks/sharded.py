"""One replica whose layers are spread over several GPUs, compared with the same model on one of them.

    python benchmarks/full_size.py write qwen2.5-omni-7b /data/omni    # once: random weights in the published form
    python benchmarks/sharded.py qwen2.5-omni-7b /data/omni --gpus 2 --json FILE

The same questions in the same batches, under the same masks, cell after cell, by three methods. `whole`: on one GPU.
`naive`: over all GPUs, with a wait for all of them before the next batch is prefilled, so that one GPU works at a time
(but for the decode steps of long answers, as in ours). `ours`: over all GPUs, as an actor does it, with several batches
in flight. Without a GPU all three run on the CPU, and speed means nothing.
"""

from __future__ import annotations

import copy
import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import typer
from torch import Tensor

from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS
from esn_dist.gates.find import Gate, find_gates
from esn_dist.gates.scale import Scale
from esn_dist.inference.answer import BatchAnswers
from esn_dist.inference.engine import BatchRequest, Engine
from esn_dist.inference.packed.elementwise_ops import has_c_compiler
from esn_dist.inference.packed.engine import make_engine
from esn_dist.inference.selfcheck import clip
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import option_order
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches
from speed.clock import facts, rounded, seconds_of
from speed.encoded import encode_all
from speed.gpus import mean_utilisation, sampled_utilisation

SECONDS = (2.0, 8.0)
SHARE = 0.005  # of the gates that a mask deactivates
NEW = 20  # tokens of an answer at most: what a sweep allows
Masks = Sequence[npt.NDArray[np.bool_] | None]


class OneByOne(Engine[Any]):
    """An engine that waits for all GPUs before it starts the next batch."""

    def __init__(self, inner: Engine[Any]) -> None:
        super().__init__(inner.model, inner.kernels)
        self.inner = inner

    def batch(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> Any:
        return self.inner.batch(prompts, rows)

    def _answer_batches(self, requests: Iterable[BatchRequest[Any]], new: int, prefix: int) -> Iterator[BatchAnswers]:
        return self.inner.answer_batches(_waiting(requests), new, prefix)


def _waiting(requests: Iterable[BatchRequest[Any]]) -> Iterator[BatchRequest[Any]]:
    """The requests; the next one once all GPUs are idle."""
    for request in requests:
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.synchronize(gpu)
        yield request


@dataclass
class MethodResult:
    """One method's answers of each cell, peak of each GPU's memory, answers/s by round, and utilisation samples."""

    cells: list[AnswerRows]
    peak_gb: list[float]
    rates: list[float] = field(default_factory=list)
    utilisation: list[list[float]] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """All but the rows."""
        rates = {"answers_per_second": rounded(median(self.rates)), "rates": list(map(rounded, self.rates))}
        return {**rates, "peak_gb": self.peak_gb, "gpu_busy_percent": mean_utilisation(self.utilisation)}


def main(
    model: str,
    checkpoint: Path,
    gpus: Annotated[int, typer.Option(help="GPUs that share the replica.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    utterances: int = 1_000,
    masks: Annotated[int, typer.Option(help="Cells besides the baseline.")] = 4,
    rounds: int = 2,
    token_budget: Annotated[int, typer.Option(help="Tokens of a batch. A small number means more batches.")] = 16_384,
) -> None:
    """Measure, print the figures as JSON, the methods' answers compared."""
    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    alone = loaded(model, checkpoint, 1, device)
    conditions = facts(alone.device, alone.dtype)
    rows = encoded(alone, utterances)
    drawn = masks_of(find_gates(alone.decoder), masks)
    whole = measure({"whole": prompt_batches_of(alone, rows, token_budget)}, drawn, rounds)
    del alone
    gc.collect()  # modules and their hooks hold each other
    torch.cuda.empty_cache()
    shared = prompt_batches_of(loaded(model, checkpoint, gpus, device), rows, token_budget)
    methods = whole | measure({"ours": shared, "naive": one_by_one(shared)}, drawn, rounds)
    figures = {
        "model": model, "gpus": gpus, **conditions, "utterances": utterances, "cells": len(drawn),
        "answered": float(np.mean([rows.answer >= 0 for rows in methods["whole"].cells])),
        "batches": len(shared.batches), "devices": devices_of(shared.engine.model), **compared(methods),
    }  # fmt: skip
    typer.echo(json.dumps(figures, indent=1))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def loaded(model: str, checkpoint: Path, gpus: int, device: Literal["cpu", "cuda"]) -> AudioLM:
    """As an actor loads it."""
    return load(ModelSpec.model_validate({"name": model, "source": str(checkpoint), "gpus": gpus}), device)


def encoded(lm: AudioLM, utterances: int) -> list[Tensor]:
    """Audio embeddings of synthetic clips, on the host."""
    lengths = np.random.default_rng(0).uniform(*SECONDS, utterances)
    return encode_all(lm, [partial(clip, seconds) for seconds in lengths])


def masks_of(gates: Sequence[Gate], number: int) -> Masks:
    """None for the baseline, then random masks."""
    shape, draw = (len(gates), gates[0].width), np.random.default_rng(1)
    return [None, *(draw.random(shape) < SHARE for _ in range(number))]


def prompt_batches_of(lm: AudioLM, rows: Sequence[Tensor], token_budget: int) -> PromptBatches:
    """The prompts, in batches that depend on the clips and the budget alone."""
    orders = [option_order(SYNTHETIC_EMOTIONS, 0, "sharded", str(number)) for number in range(len(rows))]
    engine = make_engine(lm, kernels=lm.device.type == "cuda" and has_c_compiler())
    return PromptBatches(engine, rows, orders, SYNTHETIC_EMOTIONS, SYNTHETIC_EMOTIONS, token_budget)


def one_by_one(prompt_batches: PromptBatches) -> PromptBatches:
    """The same prompt_batches, in the same batches, put to an engine that waits for each batch."""
    naive = copy.copy(prompt_batches)
    naive.engine = OneByOne(prompt_batches.engine)
    return naive


def measure(methods: dict[str, PromptBatches], masks: Masks, rounds: int) -> dict[str, MethodResult]:
    """Results of each method: one pass to warm up, whose answers are kept, then timed passes in turns."""
    results, gpus = dict[str, MethodResult](), range(torch.cuda.device_count())
    for name, prompt_batches in methods.items():
        for gpu in gpus:
            torch.cuda.reset_peak_memory_stats(gpu)
        cells = cells_of(prompt_batches, masks)
        results[name] = MethodResult(cells, [rounded(torch.cuda.max_memory_allocated(gpu) / 1e9) for gpu in gpus])
    for _ in range(rounds):
        for name, prompt_batches in methods.items():
            with sampled_utilisation(results[name].utilisation):
                seconds = seconds_of(
                    partial(cells_of, prompt_batches, masks)
                )  # all answers are on the host, so all GPUs are idle
            results[name].rates.append(len(masks) * prompt_batches.size / seconds)
    return results


def cells_of(prompt_batches: PromptBatches, masks: Masks) -> list[AnswerRows]:
    """The answers under each mask, computed as in a unit of a sweep."""
    gates = find_gates(prompt_batches.engine.model.decoder)
    return prompt_batches.answer_under([None if m is None else Scale(gates, m, 0.0, "fold") for m in masks], NEW)


def devices_of(lm: AudioLM) -> dict[str, int]:
    """Number of the decoder's gates on each device."""
    return dict(Counter(str(gate.down.device) for gate in find_gates(lm.decoder)))


def compared(methods: dict[str, MethodResult]) -> dict[str, Any]:
    """Rates, and the differences of the answers of `naive` and `ours` from those of `whole`."""
    figures = {name: method.figures() for name, method in methods.items()}
    rate, cells = {name: method["answers_per_second"] for name, method in figures.items()}, methods["whole"].cells
    return {
        **figures,
        "ours_over_naive": rounded(rate["ours"] / rate["naive"]),
        "masks_move_logprob": against(cells[:1] * len(cells), cells)["largest_logprob_difference"],
        "against_whole": {name: against(cells, methods[name].cells) for name in ("naive", "ours")},
    }


def against(expected: Sequence[AnswerRows], results: Sequence[AnswerRows]) -> dict[str, float]:
    """The share of equal answers, and the largest difference of an option's log-probability, over all cells."""
    equal = [a.answer == b.answer for a, b in zip(expected, results, strict=True)]
    differences = [np.abs(a.logprob - b.logprob).max() for a, b in zip(expected, results, strict=True)]
    return {"answers_equal": float(np.mean(equal)), "largest_logprob_difference": float(np.max(differences))}


if __name__ == "__main__":
    typer.run(main)

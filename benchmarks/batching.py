"""Batched equals single, on real prompts: the shipped tiny model asked one by one, and in length-sorted batches.

    python benchmarks/batching.py                # about a minute on one core

Prints how many answers agree, the largest difference of an option's log-probability, and answers per second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from esn_dist.corpora.audio import decode
from esn_dist.corpora.synthetic import EMOTIONS, materialise
from esn_dist.inference.packed.engine import engine_of
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import option_order
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches

CUTS = (1.0, 0.15, 0.5)  # of each clip: whole ones, very short ones, and halves, mixed in every batch
BUDGETS = {"one by one": 1, "batches of 4,096 tokens": 4_096}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-emotion", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load(ModelSpec.model_validate("tiny-qwen2.5-omni"), "cpu")
    with tempfile.TemporaryDirectory() as folder:
        corpus = materialise(Path(folder), "room", {"development": given.per_emotion}, seed=1, workers=2)
        waves = [decode(path) for path in sorted(corpus.rglob("*.wav"))]
    engine = engine_of(model)
    rows = [model.encode_clip(wave[: int(len(wave) * CUTS[n % len(CUTS)])]) for n, wave in enumerate(waves)]
    orders = [option_order(EMOTIONS, 0, "batching", str(n)) for n in range(len(rows))]
    said: dict[str, AnswerRows] = {}
    rates = {}
    for name, budget in BUDGETS.items():
        prompt_batches = PromptBatches(engine, rows, orders, EMOTIONS, EMOTIONS, token_budget=budget)
        started = time.monotonic()
        said[name] = prompt_batches.answer(20)
        rates[name] = len(rows) / (time.monotonic() - started)
    single, batched = said.values()
    figures = {
        "utterances": len(rows),
        "audio_rows": [min(map(len, rows)), max(map(len, rows))],
        "answers_equal": int((single.answer == batched.answer).sum()),
        "texts_equal": sum(a == b for a, b in zip(single.text, batched.text, strict=True)),
        "largest_logprob_difference": float(np.abs(single.logprob - batched.logprob).max()),
        "answers_per_second": rates,
    }
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

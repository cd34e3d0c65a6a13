"""Batched equals single, on real prompts: the shipped tiny model answers one by one, and in length-sorted batches.

    python benchmarks/batching.py                # about a minute on one core

Prints how many answers agree, the largest difference of an option's log-probability, and answers per second.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from esn_dist.corpora.audio import decode
from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS, materialise
from esn_dist.inference.packed.engine import make_engine
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from esn_dist.task.prompt import option_order
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches
from speed.clock import at_threads, seconds_of

CUTS = (1.0, 0.15, 0.5)  # of each clip: whole ones, very short ones, and halves, mixed in every batch
BUDGETS = {"one by one": 1, "batches of 4,096 tokens": 4_096}
NEW_TOKENS = 20


def main(
    per_emotion: Annotated[int, typer.Option(help="Clips of each emotion.")] = 40,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Compare the answers, print the figures as JSON."""
    with at_threads(1):
        figures = measure(per_emotion)
    typer.echo(json.dumps(figures, indent=1))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(per_emotion: int) -> dict[str, Any]:
    """Agreement of both methods, and their rates."""
    model = load(ModelSpec.model_validate("tiny-qwen2.5-omni"), "cpu")
    with tempfile.TemporaryDirectory() as folder:
        corpus = materialise(Path(folder), "room", {"development": per_emotion}, seed=1, workers=2)
        waves = [decode(path) for path in sorted(corpus.rglob("*.wav"))]
    audio_embeds = [model.encode_clip(wave[: int(len(wave) * CUTS[n % len(CUTS)])]) for n, wave in enumerate(waves)]
    orders = [option_order(SYNTHETIC_EMOTIONS, 0, "batching", str(n)) for n in range(len(audio_embeds))]
    engine, answers, rates = make_engine(model), list[AnswerRows](), dict[str, float]()
    for name, budget in BUDGETS.items():
        batches = PromptBatches(
            engine, audio_embeds, orders, SYNTHETIC_EMOTIONS, SYNTHETIC_EMOTIONS, token_budget=budget
        )
        rates[name] = len(orders) / seconds_of(lambda batches=batches: answers.append(batches.answer(NEW_TOKENS)))  # type: ignore[misc]
    single, batched = answers
    lengths = [len(embeds_RD) for embeds_RD in audio_embeds]
    return {
        "utterances": len(orders),
        "audio_embeds": [min(lengths), max(lengths)],
        "audio_rows": [min(lengths), max(lengths)],  # the key before audio_embeds
        "answers_equal": int((single.answer == batched.answer).sum()),
        "texts_equal": sum(a == b for a, b in zip(single.text, batched.text, strict=True)),
        "largest_logprob_difference": float(np.abs(single.logprob - batched.logprob).max()),
        "answers_per_second": rates,
    }


if __name__ == "__main__":
    typer.run(main)

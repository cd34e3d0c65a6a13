"""Audio encoding: clips one by one, as in the official code, compared with blocks encoded in groups.

    python benchmarks/encoding.py --size tiny --json FILE    # the shipped model, on a CPU: seconds
    python benchmarks/encoding.py --size full --json FILE    # Qwen2.5-Omni-7B's sizes, on one GPU
    python benchmarks/encoding.py --size full --model kimi-audio-7b --folder /data/kimi   # written by full_size.py

Both run from the file to embeddings in the host's memory, and take turns. Further figures: the difference of their
embeddings, the number of clips whose bits depend on the other clips of a group (none should), and the rates of
preprocessing and of the encoder alone. On a CPU a sweep encodes one by one; groups run there only as a test.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from esn_dist.corpora.audio import decode
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from speed.clock import at_threads, facts, rounded, seconds_of, thread_counts
from speed.encoded import encode_all
from speed.workload import workload_of

Encode = Callable[[Sequence[Path]], list[Tensor]]
ALONE, GROUPED = "one by one", "in groups"
PREPROCESSING = "decoded and preprocessed, one thread"
OLD_PREPROCESSING = "decoded and preprocessed, one thread"  # the key before


def main(
    size: Annotated[Literal["tiny", "full"], typer.Option(help="Clips, and model without --folder.")] = "tiny",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    model: Annotated[str, typer.Option(help="Name of the model in --folder.")] = "qwen2.5-omni-7b",
    folder: Annotated[Path | None, typer.Option(help="A checkpoint, as full_size.py writes it.")] = None,
    utterances: Annotated[int, typer.Option(help="0: 120 at tiny size, 512 at full size.")] = 0,
    rounds: int = 3,
) -> None:
    """Measure, print a table, write JSON."""
    with tempfile.TemporaryDirectory() as clips:
        workload = workload_of(size, Path(clips), utterances, token_budget=0)
        lm = loaded(model, folder) if folder else workload.lm
        figures = {"size": size, "model": model if folder else type(lm).__name__, **measure(lm, workload.clips, rounds)}
    show(figures)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def loaded(model: str, folder: Path) -> AudioLM:
    """The model of a checkpoint folder, on the GPU where there is one."""
    spec = ModelSpec.model_validate({"name": model, "source": str(folder)})
    return load(spec, "cuda" if torch.cuda.is_available() else "cpu")


def measure(lm: AudioLM, clips: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Rates of both methods, and the difference of their embeddings."""
    methods: dict[str, Encode] = {ALONE: partial(alone, lm), GROUPED: partial(grouped, lm)}
    times: dict[str, list[float]] = {name: [] for name in methods}
    with at_threads(thread_counts(lm.device)[0]):
        audio_embeds = {
            name: encode(clips) for name, encode in methods.items()
        }  # the first pass picks kernels, allocates
        reversed_embeds = grouped(lm, clips[::-1])[::-1]
        for _ in range(rounds):
            for name, encode in methods.items():
                times[name].append(seconds_of(lambda encode=encode: encode(clips)))  # type: ignore[misc]
        stages = {name: rounded(len(clips) / seconds) for name, seconds in stage_seconds(lm, clips).items()}
    changed = sum(not torch.equal(a, b) for a, b in zip(audio_embeds[GROUPED], reversed_embeds, strict=True))
    rates = {name: rounded(len(clips) / median(taken)) for name, taken in times.items()}
    return {
        **facts(lm.device, lm.dtype), "clips": len(clips), "group": lm.GPU_ENCODER_BATCH, "clips_per_second": rates,
        "ratio": rounded(rates[GROUPED] / rates[ALONE]),
        "parts_per_second": stages | {OLD_PREPROCESSING: stages[PREPROCESSING]},
        **differences(audio_embeds[ALONE], audio_embeds[GROUPED]),
        "clips_changed_by_neighbours": changed, "clips_with_bits_of_neighbours": changed,  # the old key too
    }  # fmt: skip


def alone(lm: AudioLM, clips: Sequence[Path]) -> list[Tensor]:
    """Encode each clip alone, and fetch it before the next is opened."""
    lm.encoder_batch = 0
    return [lm.encode_clip(decode(path)).cpu() for path in clips]


def grouped(lm: AudioLM, clips: Sequence[Path]) -> list[Tensor]:
    """Encode as an actor with a GPU does."""
    lm.encoder_batch = lm.GPU_ENCODER_BATCH
    return encode_all(lm, [partial(decode, path) for path in clips])


def stage_seconds(lm: AudioLM, clips: Sequence[Path]) -> dict[str, float]:
    """Seconds of preprocessing in one thread, and of the encoder in groups, when neither waits for the other."""
    lm.encoder_batch, inputs = lm.GPU_ENCODER_BATCH, list[Any]()
    preprocessing = seconds_of(lambda: inputs.extend(lm.preprocess(decode(path)) for path in clips))
    return {PREPROCESSING: preprocessing, "encoder": seconds_of(lambda: lm.encode_audio(inputs))}


def differences(alone: Sequence[Tensor], grouped: Sequence[Tensor]) -> dict[str, float]:
    """Differences of two encodings of the same clips, and the root mean square of the first."""
    alone_RD, grouped_RD = (torch.cat(list(audio_embeds)).float() for audio_embeds in (alone, grouped))
    difference = (alone_RD - grouped_RD).abs()
    return {
        "largest_difference": rounded(difference.max().item()),
        "mean_difference": rounded(difference.mean().item()),
        "root_mean_square": rounded(alone_RD.square().mean().sqrt().item()),
    }


def show(figures: Mapping[str, Any]) -> None:
    """The table."""
    table = Table("method", "clips/s")
    for name, rate in {**figures["clips_per_second"], **figures["parts_per_second"]}.items():
        if name != OLD_PREPROCESSING:
            table.add_row(name, f"{rate:g}")
    console = Console()
    console.print(f"{figures['model']}, {figures['device']}, {figures['dtype']}, {figures['clips']} clips")
    console.print(table)
    console.print(
        f"groups: {figures['ratio']:g} × one by one; embeddings differ by at most {figures['largest_difference']:g}, "
        f"on average {figures['mean_difference']:g}, at a root mean square of {figures['root_mean_square']:g}; "
        f"{figures['clips_changed_by_neighbours']} clips depend on the others of their group."
    )


if __name__ == "__main__":
    typer.run(main)

"""Audio encoding: clips one by one, as officially, against blocks whose pieces go through the encoder in groups.

    python benchmarks/encoding.py --size tiny --json FILE    # the shipped model, on a CPU: seconds
    python benchmarks/encoding.py --size full --json FILE    # Qwen2.5-Omni-7B's sizes, on one GPU
    python benchmarks/encoding.py --size full --model kimi-audio-7b --folder /data/kimi   # written by full_size.py

Both from the file to rows in the host's memory; the two take turns. Told with it: how far their rows lie apart, in how
many clips a bit hangs on the neighbours (none should), and what decoding with log-mel and the encoder take by
themselves. On a CPU a sweep encodes one by one; groups are tried there to show that they run, not for speed.
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
from speed.subject import subject_of

Encode = Callable[[Sequence[Path]], list[Tensor]]
ALONE, GROUPED = "one by one", "in groups"


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
        subject = subject_of(size, Path(clips), utterances, token_budget=0)
        lm = loaded(model, folder) if folder else subject.lm
        figures = {"size": size, "model": model if folder else type(lm).__name__, **measure(lm, subject.clips, rounds)}
    show(figures)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def loaded(model: str, folder: Path) -> AudioLM:
    """The model of a checkpoint folder, on the GPU where there is one."""
    spec = ModelSpec.model_validate({"name": model, "source": str(folder)})
    return load(spec, "cuda" if torch.cuda.is_available() else "cpu")


def measure(lm: AudioLM, clips: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Rates of both ways, and how far their rows lie apart."""
    ways: dict[str, Encode] = {ALONE: partial(alone, lm), GROUPED: partial(grouped, lm)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with at_threads(thread_counts(lm.device)[0]):
        rows = {name: encode(clips) for name, encode in ways.items()}  # the first pass picks kernels, allocates
        turned = grouped(lm, clips[::-1])[::-1]
        for _ in range(rounds):
            for name, encode in ways.items():
                times[name].append(seconds_of(lambda encode=encode: encode(clips)))  # type: ignore[misc]
        shares = {name: rounded(len(clips) / seconds) for name, seconds in parts(lm, clips).items()}
    moved = sum(not torch.equal(a, b) for a, b in zip(rows[GROUPED], turned, strict=True))
    rates = {name: rounded(len(clips) / median(taken)) for name, taken in times.items()}
    return {
        **facts(lm.device, lm.dtype), "clips": len(clips), "group": lm.GPU_ENCODER_BATCH, "clips_per_second": rates,
        "ratio": rounded(rates[GROUPED] / rates[ALONE]), "parts_per_second": shares,
        **apart(rows[ALONE], rows[GROUPED]), "clips_with_bits_of_neighbours": moved,
    }  # fmt: skip


def alone(lm: AudioLM, clips: Sequence[Path]) -> list[Tensor]:
    """Each clip by itself, fetched before the next is opened."""
    lm.encoder_batch = 0
    return [lm.encode_clip(decode(path)).cpu() for path in clips]


def grouped(lm: AudioLM, clips: Sequence[Path]) -> list[Tensor]:
    """As an actor with a GPU does."""
    lm.encoder_batch = lm.GPU_ENCODER_BATCH
    return encode_all(lm, [partial(decode, path) for path in clips])


def parts(lm: AudioLM, clips: Sequence[Path]) -> dict[str, float]:
    """Seconds of the CPU's share in one thread, and of the encoder's in groups, when neither waits for the other."""
    lm.encoder_batch, heard = lm.GPU_ENCODER_BATCH, list[Any]()
    listening = seconds_of(lambda: heard.extend(lm.preprocess(decode(path)) for path in clips))
    return {"decoded and listened to, one thread": listening, "encoder": seconds_of(lambda: lm.encode_audio(heard))}


def apart(alone: Sequence[Tensor], grouped: Sequence[Tensor]) -> dict[str, float]:
    """How far two encodings of the same clips lie apart, and the root mean square of the first."""
    one, other = (torch.cat(list(rows)).float() for rows in (alone, grouped))
    difference = (one - other).abs()
    return {
        "largest_difference": rounded(difference.max().item()),
        "mean_difference": rounded(difference.mean().item()),
        "root_mean_square": rounded(one.square().mean().sqrt().item()),
    }


def show(figures: Mapping[str, Any]) -> None:
    """The table."""
    table = Table("way", "clips/s")
    for name, rate in {**figures["clips_per_second"], **figures["parts_per_second"]}.items():
        table.add_row(name, f"{rate:g}")
    console = Console()
    console.print(f"{figures['model']}, {figures['device']}, {figures['dtype']}, {figures['clips']} clips")
    console.print(table)
    console.print(
        f"groups: {figures['ratio']:g} × one by one; rows at most {figures['largest_difference']:g} apart, on average "
        f"{figures['mean_difference']:g}, of {figures['root_mean_square']:g}; "
        f"{figures['clips_with_bits_of_neighbours']} clips with a bit that hangs on neighbours."
    )


if __name__ == "__main__":
    typer.run(main)

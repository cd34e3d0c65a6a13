"""Trains the tiny model from nothing: `python -m esn_dist.models.tiny.train --out FOLDER --seed N`.

Knows nothing of masks or effects: the model learns to answer the paper's question, and nothing else is asked of it.
Shape letters: see `esn_dist.models`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from esn_dist.corpora.synthetic import CONDITIONS, SYNTHETIC_EMOTIONS, materialise
from esn_dist.models.tiny.architecture import TinySize, build, save
from esn_dist.models.tiny.prompts import Prompts, TrainingBatch
from esn_dist.models.tiny.speech import Speech, load_speech

CORPUS_SEED = 0
WARM_UP = 50
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training; shares of the batch: audio with options, audio with a word answer, text look-up."""

    name: str
    steps: int
    choice: float = 0.0
    word: float = 0.0
    look_up: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training besides its seed.

    Attributes:
        utterances: training utterances of each emotion and acoustic condition.
        sparsity: weight of the mean positive gate pre-activation, an L1 that lets gates fire only where it pays.
    """

    size: TinySize = field(default_factory=TinySize)
    utterances: int = 1000
    batch: int = 192
    phases: Sequence[Phase] = (
        Phase("reading", 600, look_up=1.0),
        Phase("mixed", 2000, choice=0.5, word=0.3, look_up=0.2),
        Phase("listening", 4000, choice=1.0),
    )
    rate: float = 1.5e-3
    decay: float = 0.05
    sparsity: float = 0.0


@dataclass
class Trainer:
    """One model in training. Batches are drawn by a generator seeded by `seed`, weights by `build`."""

    recipe: Recipe
    seed: int
    device: torch.device
    fired: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = cast(Any, build(self.recipe.size, self.seed)).to(self.device)
        self.decoder = self.model.model.language_model
        self.tower = self.model.model.audio_tower
        self.prompts = Prompts(SYNTHETIC_EMOTIONS, self.device)
        self.random = torch.Generator(self.device).manual_seed(self.seed)
        for layer in self.decoder.layers:
            layer.mlp.gate_proj.register_forward_hook(lambda module, inputs, output: self.fired.append(output))
        self.tower.requires_grad_(False)
        self.tower.ln_post.requires_grad_(True)
        self.tower.proj.requires_grad_(True)
        self.rate = torch.tensor(self.recipe.rate, device=self.device)
        self.optimizer = torch.optim.AdamW(
            [weight for weight in self.model.parameters() if weight.requires_grad],
            lr=self.rate,
            weight_decay=self.recipe.decay,
            capturable=self.device.type == "cuda",
        )

    def fit(self, speech: Speech, log: Log) -> None:
        """Run the curriculum on `speech`; the rate is constant while reading and then falls as a cosine."""
        speech = speech.to(self.device)
        done, reading = 0, self.recipe.phases[0].steps
        later = sum(phase.steps for phase in self.recipe.phases[1:])
        for phase in self.recipe.phases:
            step = self._stepper(phase, speech)
            for number in range(phase.steps):
                self.rate.fill_(self.recipe.rate * _schedule(done, reading, later))
                loss = step(*self._draw(phase, speech))
                done += 1
                if number % 100 == 99 or number + 1 == phase.steps:
                    log(f"{phase.name} {number + 1}/{phase.steps}: loss {float(loss):.3f}")

    def _draw(self, phase: Phase, speech: Speech) -> tuple[Tensor, TrainingBatch]:
        """Utterances and their prompts, in the shares of `phase`."""

        def integers(high: int, count: int) -> Tensor:
            return torch.randint(high, (count,), generator=self.random, device=self.device)

        size = self.recipe.batch
        choices, words = round(phase.choice * size), round(phase.word * size)
        if not choices + words:
            size *= 2  # reading prompts are short
        item_B, order_B = integers(len(speech), size), integers(len(self.prompts.orders), size)
        emotion_B, rows_B = speech.emotion_N[item_B], speech.rows_N[item_B]
        width = speech.rows_NRE.shape[1] if choices + words else 1
        cut = (slice(choices), slice(choices, choices + words), slice(choices + words, None))
        parts = (
            self.prompts.choice(rows_B[cut[0]], emotion_B[cut[0]], order_B[cut[0]], width),
            self.prompts.word(rows_B[cut[1]], emotion_B[cut[1]], width),
            self.prompts.look_up(emotion_B[cut[2]], order_B[cut[2]], width),
        )
        return item_B, TrainingBatch.join(parts)

    def _stepper(self, phase: Phase, speech: Speech) -> Callable[[Tensor, TrainingBatch], Tensor]:
        """One optimiser step as a function; on a GPU a recorded graph, since launches would cost more than the work."""

        def step(item_B: Tensor, batch: TrainingBatch) -> Tensor:
            self.optimizer.zero_grad(set_to_none=False)
            loss = self._loss(speech, item_B, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            return loss.detach()

        if self.device.type != "cuda":
            return step
        self.rate.zero_()  # the trial steps that a recording needs must change nothing
        return _recorded(step, self._draw(phase, speech))

    def _loss(self, speech: Speech, item_B: Tensor, batch: TrainingBatch) -> Tensor:
        """Cross-entropy of answer and stop token, plus the price of firing gates."""
        self.fired.clear()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden_BLD = self.decode(self.embed(speech, item_B, batch))
            place_BT = torch.stack([batch.last_B, batch.last_B + 1], dim=1)
            read_BTD = hidden_BLD.gather(1, place_BT[..., None].expand(-1, -1, hidden_BLD.shape[-1]))
            logits_BTV = self.model.lm_head(read_BTD).float()
        target_BT = torch.stack([batch.answer_B, torch.full_like(batch.answer_B, self.prompts.stop)], dim=1)
        loss = functional.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten())
        if not self.recipe.sparsity:
            return loss
        inside_BL = torch.arange(batch.ids_BL.shape[1], device=self.device) <= place_BT[:, 1:]
        firing = torch.stack([gates.relu().mean(dim=-1) for gates in self.fired]).mean(dim=0)
        return loss + self.recipe.sparsity * (firing * inside_BL).sum() / inside_BL.sum()

    def embed(self, speech: Speech, item_B: Tensor, batch: TrainingBatch) -> Tensor:
        """Embeddings [B, L, D] with the audio rows in their places."""
        rows_BRE = speech.rows_NRE[item_B]
        rows_BRD = self.tower.proj(self.tower.ln_post(rows_BRE))
        index = batch.audio_BL.clamp(min=0, max=rows_BRD.shape[1] - 1)
        placed_BLD = rows_BRD.gather(1, index[..., None].expand(-1, -1, rows_BRD.shape[-1]))
        text_BLD = self.decoder.embed_tokens(batch.ids_BL)
        return torch.where(batch.audio_BL[..., None] >= 0, placed_BLD.to(text_BLD.dtype), text_BLD)

    def decode(self, embeds_BLD: Tensor) -> Tensor:
        """The decoder over right-padded rows: causal attention needs no mask."""
        place = torch.arange(embeds_BLD.shape[1], device=self.device)[None, None].expand(3, 1, -1)
        rotary = self.decoder.rotary_emb(embeds_BLD, place)
        hidden = embeds_BLD
        for layer in self.decoder.layers:
            hidden = layer(hidden, attention_mask=None, position_embeddings=rotary)
        return torch.as_tensor(self.decoder.norm(hidden))


def _schedule(done: int, reading: int, later: int) -> float:
    if done < reading:
        return min(1.0, (done + 1) / WARM_UP)
    return 0.5 + 0.5 * math.cos(math.pi * (done - reading) / later)


def _recorded(
    step: Callable[[Tensor, TrainingBatch], Tensor], held: tuple[Tensor, TrainingBatch]
) -> Callable[[Tensor, TrainingBatch], Tensor]:
    """`step` as a CUDA graph over the tensors of `held`, into which each call copies its own."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(*held)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(*held)

    def replay(item_B: Tensor, batch: TrainingBatch) -> Tensor:
        held[0].copy_(item_B)
        held[1].copy_(batch)
        graph.replay()
        return loss

    return replay


def main() -> None:
    """Command line: make the speech, train, write the checkpoint and its training record."""
    parser = argparse.ArgumentParser(description="Train the tiny audio-language model.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpora", type=Path, default=Path("store/tiny-corpora"), help="folder of the speech")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    started, recipe, device = time.monotonic(), Recipe(), torch.device(options.device)
    corpora = [
        materialise(options.corpora, condition, {"train": recipe.utterances}, CORPUS_SEED, os.cpu_count() or 1)
        for condition in CONDITIONS
    ]
    trainer = Trainer(recipe, options.seed, device)
    trainer.fit(load_speech(corpora, "train", SYNTHETIC_EMOTIONS, trainer.model), print)
    save(trainer.model, options.out)
    record = {"seed": options.seed, "corpus_seed": CORPUS_SEED, "recipe": asdict(recipe)}
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.out} after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

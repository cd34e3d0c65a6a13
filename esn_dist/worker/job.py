"""What an actor is told once: the model, the engine profile, and the utterances behind every row of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from esn_dist.corpora.utterance import Clip
from esn_dist.sweep.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class CorpusItems:
    """The rows of a corpus's two sets, in the store's order.

    Attributes:
        options: the word that the model is shown for each of `emotions`.
        evaluation: class-balanced held-out set.
        identification: candidates, emotion-major; None where a row only fills an emotion's last K-shard.
    """

    name: str
    emotions: tuple[str, ...]
    options: tuple[str, ...]
    evaluation: tuple[Clip, ...]
    identification: tuple[Clip | None, ...]

    def pool(self, name: str) -> Sequence[Clip | None]:
        return self.evaluation if name == "evaluation" else self.identification


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """All that may change an answer's bits beside its meaning; fixed once per store and model, kept at each resume.

    Attributes:
        scaling: "fold" (into down_proj) or "gate".
        token_budget: tokens of a batch.
        threads: torch threads of a CPU actor.
        engine: "packed" (where the decoder has the form for it) or "padded".
        kernels: whether gates are watched, and the packed engine's element-wise steps made, by CUDA kernels of our own.
        together: whether clips go through the audio encoder in groups, where the adapter has such a way.
    """

    device: Literal["cpu", "cuda"]
    dtype: str
    scaling: Literal["fold", "gate"]
    token_budget: int
    attention: str = "sdpa"
    threads: int = 1
    # What stores had that were begun before there was a choice.
    engine: Literal["packed", "padded"] = "padded"
    kernels: bool = False
    together: bool = False

    def as_attributes(self) -> dict[str, str | int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Job:
    """One model's share of a sweep.

    Attributes:
        root: the sweep's folder.
        cache: folder of audio features.
        fingerprint: of the weights; features and store rest on it.
        seed: the sweep's, for option orders.
        lease: the lock's token; nothing is published under another.
    """

    root: Path
    cache: Path
    model: ModelSpec
    fingerprint: str
    profile: EngineProfile
    corpora: dict[str, CorpusItems]
    seed: int
    max_new_tokens: int
    lease: str

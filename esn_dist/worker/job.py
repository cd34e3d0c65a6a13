"""What an actor receives once: the model, the engine profile, and the utterance of every row of the store.

Knows no units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from esn_dist.corpora.utterance import Clip
from esn_dist.sweep.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class CorpusItems:
    """The rows of a corpus's two sets, in the store's order.

    Attributes:
        options: the word that the model is shown for each of `emotions`.
        evaluation: class-balanced held-out set.
        identification: candidates, sorted by emotion; None is a pad row of an emotion's last shard.
    """

    name: str
    emotions: tuple[str, ...]
    options: tuple[str, ...]
    evaluation: tuple[Clip, ...]
    identification: tuple[Clip | None, ...]

    def utterances_of(self, set_name: str) -> Sequence[Clip | None]:
        """The rows of the set "evaluation" or "identification"."""
        return self.evaluation if set_name == "evaluation" else self.identification


STORED_NAMES = {"batch_encoding": "together"}
"""Fields of a profile whose attributes in `data.zarr` have another name."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """All settings that may change the bits of an answer. Fixed once per store and model, and kept at each resume.

    Attributes:
        scaling: "fold" (into down_proj) or "gate".
        token_budget: largest number of tokens in a batch.
        threads: torch threads of a CPU actor.
        engine: "packed" (if the decoder has the form for it) or "padded".
        kernels: whether custom kernels count gates and compute the packed engine's element-wise operations.
        batch_encoding: whether clips are encoded in batches, if the adapter can.
    """

    device: Literal["cpu", "cuda"]
    dtype: str
    scaling: Literal["fold", "gate"]
    token_budget: int
    attention: str = "sdpa"
    threads: int = 1
    # The defaults are the values of stores that were begun before there was a choice.
    engine: Literal["packed", "padded"] = "padded"
    kernels: bool = False
    batch_encoding: bool = False

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> EngineProfile:
        """The profile that a store keeps."""
        fields = {stored: field for field, stored in STORED_NAMES.items()}
        return cls(**{fields.get(name, name): value for name, value in attributes.items()})

    def as_attributes(self) -> dict[str, str | int]:
        """The profile as a store keeps it."""
        return {STORED_NAMES.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Job:
    """One model's share of a sweep, as its actors need it.

    Attributes:
        root: folder of the sweep.
        cache: folder of the cached audio embeddings.
        fingerprint: fingerprint of the weights. Audio embeddings and arrays depend on it.
        provider: identity of the package that the model's adapter was planned with; "" for an adapter of this package.
        seed: seed of the sweep, for option orders.
        lease: token of the lock. Nothing is published under another one.
    """

    root: Path
    cache: Path
    model: ModelSpec
    fingerprint: str
    provider: str
    profile: EngineProfile
    corpora: dict[str, CorpusItems]
    seed: int
    max_new_tokens: int
    lease: str

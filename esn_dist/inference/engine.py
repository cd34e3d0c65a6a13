"""The engine protocol: a model that answers batch after batch, each under its own transform of the gates.

Requests are answered in order; the engine applies and reverts transforms on the way. A batch that does not fit into
memory is answered in halves, always at the same row, and `splits` counts it: halves round differently from the whole.
`PaddedEngine` runs any decoder. Knows no emotions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from esn_dist.gates.protocols import ActivationObserver, GateTransform
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import PaddedBatch, pad
from esn_dist.models.audio_lm import AudioLM, Prompt


class EngineBatch(Protocol):
    """A batch of any engine; its length is the number of its rows."""

    def __len__(self) -> int: ...

    def halves(self) -> tuple[Self, Self]:
        """The first half of the rows, and the other rows."""


BatchT = TypeVar("BatchT", bound=EngineBatch)


@dataclass(frozen=True, slots=True)
class BatchRequest(Generic[BatchT]):
    """One batch to answer.

    Attributes:
        options_BO: token ids whose log-probabilities at the first answer position are wanted.
        observer: takes part in every forward call of the batch.
        transform: applied to the gates while the batch is computed; None leaves them alone.
    """

    batch: BatchT
    options_BO: Tensor
    observer: ActivationObserver | None = None
    transform: GateTransform | None = None

    def halves(self) -> tuple[BatchRequest[BatchT], BatchRequest[BatchT]]:
        """The same request for each half of the rows."""
        first, second = self.batch.halves()
        return self._part(first, 0), self._part(second, len(first))

    def _part(self, batch: BatchT, start: int) -> BatchRequest[BatchT]:
        stop = start + len(batch)
        observer = self.observer and self.observer.split(start, stop)
        return BatchRequest(batch, self.options_BO[start:stop], observer, self.transform)


class Engine(ABC, Generic[BatchT]):
    """A loaded model that answers batches.

    Attributes:
        kernels: whether element-wise operations and observers run as Triton kernels.
        splits: batches that did not fit into memory and were answered in halves.
    """

    def __init__(self, model: AudioLM, kernels: bool = False) -> None:
        self.model, self.kernels = model, kernels
        self.splits = 0
        self._transform: GateTransform | None = None
        self._applied = ExitStack()

    @abstractmethod
    def batch(self, prompts: Sequence[Prompt], audio_embeds: Sequence[Tensor]) -> BatchT:
        """`prompts` with their audio embeddings [R, D] as one batch on the model's device."""

    def answer_batches(
        self, requests: Iterable[BatchRequest[BatchT]], max_new_tokens: int, prefix: int = 0
    ) -> Generator[BatchAnswers]:
        """The greedy answers of each request, in order.

        Close the generator if it is not exhausted: until its end, the transform of some request may be applied.

        Args:
            prefix: tokens that every prompt begins with; an engine may compute them once for batches without observer.
        """
        try:
            yield from self._answer_batches(requests, max_new_tokens, prefix)
        finally:
            self.apply(None)

    @abstractmethod
    def _answer_batches(
        self, requests: Iterable[BatchRequest[BatchT]], max_new_tokens: int, prefix: int
    ) -> Iterator[BatchAnswers]:
        """The answers of `answer_batches`; a request's transform must be applied whenever its batch is computed."""

    def apply(self, transform: GateTransform | None) -> None:
        """Replace the applied transform by `transform`; does nothing where it is applied already."""
        if transform is not self._transform:
            self._transform = None
            self._applied.close()
            if transform:
                self._applied.enter_context(transform.applied())
            self._transform = transform

    def answer_in_halves(
        self, request: BatchRequest[BatchT], answer_one: Callable[[BatchRequest[BatchT]], BatchAnswers]
    ) -> BatchAnswers:
        """The answers of a batch that did not fit into memory, by halves, each of which may be halved again.

        Raises:
            torch.OutOfMemoryError: a single prompt does not fit.
        """
        if len(request.batch) == 1:
            raise torch.OutOfMemoryError("a single prompt does not fit into the memory that the weights leave")
        self.splits += 1
        torch.cuda.empty_cache()
        return BatchAnswers.joined([self._answer_or_halve(half, answer_one) for half in request.halves()])

    def _answer_or_halve(
        self, request: BatchRequest[BatchT], answer_one: Callable[[BatchRequest[BatchT]], BatchAnswers]
    ) -> BatchAnswers:
        try:
            return answer_one(request)
        except torch.OutOfMemoryError:
            pass  # outside the handler, so that the failed batch's tensors are freed with its traceback
        return self.answer_in_halves(request, answer_one)


class PaddedEngine(Engine[PaddedBatch]):
    """Runs any decoder through its own forward call and hooks on its gates."""

    def batch(self, prompts: Sequence[Prompt], audio_embeds: Sequence[Tensor]) -> PaddedBatch:
        return pad(self.model, prompts, audio_embeds)

    def _answer_batches(
        self, requests: Iterable[BatchRequest[PaddedBatch]], max_new_tokens: int, prefix: int
    ) -> Iterator[BatchAnswers]:
        return (self._answer_or_halve(request, partial(self._answer, max_new_tokens)) for request in requests)

    def _answer(self, max_new_tokens: int, request: BatchRequest[PaddedBatch]) -> BatchAnswers:
        self.apply(request.transform)
        with request.observer.hooks() if request.observer else nullcontext():
            return answer(self.model, request.batch, request.options_BO, max_new_tokens, request.observer)

"""What an engine is asked and gives; and the plain engine, which runs any decoder.

An engine answers batch after batch, in order, each under its own state of the gates, which it changes on the way. A
batch that does not fit into memory is answered in halves, which the plan fixes (first half of the rows, then the
others) and `splits` counts: they round otherwise than the whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from esn_dist.gates.positions import Positions
from esn_dist.inference.answer import Answers, answer
from esn_dist.inference.batches import Batch, pad
from esn_dist.models.audio_lm import AudioLM, Prompt


class Watcher(Protocol):
    """Whoever must know what each forward call is fed, and sees its gates: a counter, or Mix."""

    def see(self, positions: Positions) -> None:
        """The positions of the coming call."""

    def attached(self) -> AbstractContextManager[Any]:
        """Sees the gates through hooks for the length of the block."""

    def act(self, layer: int, gate_up_TM: Tensor, gated: Callable[[Tensor], Tensor]) -> Tensor:
        """Sees the gates of a layer that calls no modules; returns what its down projection reads."""

    def rows(self, start: int, stop: int) -> Watcher:
        """Whoever watches these rows of the batch in its place; the parts of a batch are given out in order."""


class State(Protocol):
    """What is done to the gates for a whole batch, such as a folded mask. Equal only to itself."""

    def applied(self) -> AbstractContextManager[Any]:
        """In force for the length of the block, any number of times."""


class Rows(Protocol):
    """A batch of any engine: as many rows as its length."""

    def __len__(self) -> int: ...

    def halves(self) -> tuple[Self, Self]:
        """The first half of the rows, and the others."""


B = TypeVar("B", bound=Rows)


@dataclass(frozen=True, slots=True)
class Asked(Generic[B]):
    """One batch to be answered: its options, who watches it, and the state of the gates; None leaves them alone."""

    batch: B
    options_BO: Tensor
    watcher: Watcher | None = None
    state: State | None = None

    def halves(self) -> tuple[Asked[B], Asked[B]]:
        """The same, asked of each half of the rows."""
        first, second = self.batch.halves()
        return self._part(first, 0), self._part(second, len(first))

    def _part(self, batch: B, start: int) -> Asked[B]:
        stop = start + len(batch)
        watcher = self.watcher and self.watcher.rows(start, stop)
        return Asked(batch, self.options_BO[start:stop], watcher, self.state)


class Engine(ABC, Generic[B]):
    """A loaded model that answers batches.

    Attributes:
        kernels: whether element-wise steps, and what watches the gates, run as CUDA kernels of our own.
        splits: batches that did not fit into memory and were answered in halves.
    """

    def __init__(self, model: AudioLM, kernels: bool = False) -> None:
        self.model, self.kernels = model, kernels
        self.splits = 0
        self._state: State | None = None
        self._applied = ExitStack()

    @abstractmethod
    def batch(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> B:
        """`prompts` with their audio rows [R, D], side by side on the model's device."""

    def answers(self, asked: Iterable[Asked[B]], new: int, prefix: int = 0) -> Generator[Answers]:
        """The greedy answers of each batch, in order, of at most `new` tokens.

        Close it where not all of it is taken: until its end the gates are in the state of one of its batches.

        Args:
            prefix: tokens that every prompt begins with; an engine may compute them once where nobody watches.
        """
        try:
            yield from self._answers(asked, new, prefix)
        finally:
            self.become(None)

    @abstractmethod
    def _answers(self, asked: Iterable[Asked[B]], new: int, prefix: int) -> Iterator[Answers]:
        """As `answers`; a batch's own state must be in force whenever it is computed."""

    def become(self, state: State | None) -> None:
        """Bring the gates into `state`; nothing is done where they are in it."""
        if state is not self._state:
            self._state = None
            self._applied.close()
            if state:
                self._applied.enter_context(state.applied())
            self._state = state

    def in_halves(self, one: Asked[B], answered: Callable[[Asked[B]], Answers]) -> Answers:
        """The answers of a batch that did not fit into memory, by halves, each of which may be halved again.

        Raises:
            torch.OutOfMemoryError: a single prompt does not fit.
        """
        if len(one.batch) == 1:
            raise torch.OutOfMemoryError("a single prompt does not fit into the memory that the weights leave")
        self.splits += 1
        torch.cuda.empty_cache()
        return Answers.joined([self._half(half, answered) for half in one.halves()])

    def _half(self, half: Asked[B], answered: Callable[[Asked[B]], Answers]) -> Answers:
        try:
            return answered(half)
        except torch.OutOfMemoryError:
            pass  # outside the handler, so that the failed half's tensors are gone with its traceback
        return self.in_halves(half, answered)


class PaddedEngine(Engine[Batch]):
    """Any decoder, through its own forward call and hooks on its gates."""

    def batch(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> Batch:
        return pad(self.model, prompts, rows)

    def _answers(self, asked: Iterable[Asked[Batch]], new: int, prefix: int) -> Iterator[Answers]:
        return (self._half(one, partial(self._answered, new)) for one in asked)

    def _answered(self, new: int, one: Asked[Batch]) -> Answers:
        self.become(one.state)
        with one.watcher.attached() if one.watcher else nullcontext():
            return answer(self.model, one.batch, one.options_BO, new, one.watcher)

"""Answers of many batches in a row: the device is never waited for while there is work to hand it.

A batch goes through three hands: its prompts are read, its first answer token is fed back, what it said is fetched.
The host fetches what was asked for a batch ago, so it waits while the device has work. Where layers lie on several
GPUs, each is at another batch: nothing is brought back to the first GPU before the layers of the next batches have been
asked of it. Answers of two tokens (a number, then the stop token) need no more; a batch with longer ones stands aside,
and takes its further steps while others are read. Memory that runs out splits a batch in halves, which round
otherwise than the whole: `splits` says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from esn_dist.gates.positions import Positions
from esn_dist.inference.answer import Answers
from esn_dist.inference.engine import Asked, Engine, PaddedEngine, State
from esn_dist.inference.packed.batch import PackedBatch, pack
from esn_dist.inference.packed.cache import Cache, Geometry
from esn_dist.inference.packed.layers import Qwen2Layers
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.terms import UNCOUNTED, Part
from esn_dist.transfer import PeerCopy, to_device_async


def engine_of(model: AudioLM, *, packed: bool = True, kernels: bool = False) -> Engine[Any]:
    """The packed engine where it is wanted and the decoder has its form, else the plain one."""
    return PackedEngine(model, kernels) if packed and Qwen2Layers.fits(model.decoder) else PaddedEngine(model, kernels)


class PackedEngine(Engine[PackedBatch]):
    """A model whose decoder `Qwen2Layers.fits`."""

    def __init__(self, model: AudioLM, kernels: bool) -> None:
        super().__init__(model, kernels)
        self.layers = Qwen2Layers(model.decoder, kernels)
        self.stages = len(self.layers.devices)
        self.stops = torch.tensor(model.stop_ids, device=self.layers.devices[-1])

    @property
    def ahead(self) -> int:
        """Batches that are read before the first one's token is fed back.

        One more than GPUs that share the model: a GPU works in order, so fed back any earlier, a token would keep the
        first one from its next batch until the last one has done with the batch before, which may be longer.
        """
        return self.stages + (self.stages > 1)

    def batch(self, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> PackedBatch:
        return pack(self.model, prompts, rows)

    @torch.inference_mode()
    def _answers(self, asked: Iterable[Asked[PackedBatch]], new: int, prefix: int) -> Iterator[Answers]:
        self._refuse_hooks()
        shared: tuple[State | None, Cache] | None = None
        under_way = _UnderWay(self, new)
        for one in asked:
            if prefix and not one.watcher and (shared is None or shared[0] is not one.state):
                if (beginning := self._prefix_beside_others(one, prefix)) is None:
                    shared = None
                    yield from under_way.end()
                    beginning = self._prefix(one, prefix)
                shared = one.state, beginning
            yield from under_way.take(one, None if one.watcher or shared is None else shared[1])
        yield from under_way.end()

    def become(self, state: State | None) -> None:
        super().become(state)
        self._refuse_hooks()

    def _refuse_hooks(self) -> None:
        if self.layers.hooked:
            raise RuntimeError("gates are hooked, and this engine calls no modules: fold the mask, or use PaddedEngine")

    def answered(self, one: Asked[PackedBatch], new: int, shared: Cache | None) -> Answers:
        """What every row of a batch says, alone.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """
        going = _Going(self, 0, one, new, shared).stepped()
        while going.speaks():
            going.stepped()
        if (said := going.said()) is None:
            raise torch.OutOfMemoryError
        return said

    def _prefix_beside_others(self, one: Asked[PackedBatch], length: int) -> Cache | None:
        """As `_prefix`; None where batches under way leave no memory for it, or for the state."""
        try:
            return self._prefix(one, length)
        except torch.OutOfMemoryError:
            return None

    def _prefix(self, one: Asked[PackedBatch], length: int) -> Cache:
        """Keys and values of the first `length` tokens, which are the same in every row, under the state of `one`."""
        batch = one.batch
        self.become(one.state)
        first = PackedBatch(batch.embedded_TD[:length], batch.part_T[:length], (length,))
        x_TD, geometry = first.after(0, 0)
        cache = self.layers.cache(1, geometry.slots)
        self.layers.run(x_TD, geometry, cache)
        return cache


class _UnderWay:
    """The batches that the GPUs work on, in three lines: `read`; `stepped` once; `speaking` on, step by step.

    A line holds about one batch for each GPU. Once the line of those that speak on is full, its first takes a step for
    each batch that is read. Where more speak on than it holds, they take turns, and nothing is read until one has said
    all: each of them keeps memory. What others said meanwhile waits in `landed`, by number, for its turn.
    """

    def __init__(self, engine: PackedEngine, new: int) -> None:
        self.engine, self.new = engine, new
        self.read, self.stepped, self.speaking = deque[_Going](), deque[_Going](), deque[_Going]()
        self.landed: dict[int, Answers] = {}
        self.taken = self.given = 0

    def take(self, one: Asked[PackedBatch], shared: Cache | None) -> Iterator[Answers]:
        """One more batch on its way; what others say meanwhile."""
        self.read.append(_Going(self.engine, self.taken, one, self.new, shared))
        self.taken += 1
        if len(self.read) == self.engine.ahead:
            self.stepped.append(self.read.popleft().stepped())
        if len(self.speaking) == self.engine.stages:
            yield from self._look(self.speaking)
        for line in (self.stepped, self.speaking):
            while len(line) > self.engine.stages:
                yield from self._look(line)

    def end(self) -> Iterator[Answers]:
        """What the batches under way say, until none is."""
        while self.read:
            self.stepped.append(self.read.popleft().stepped())
        while line := self.stepped or self.speaking:
            yield from self._look(line)

    def _look(self, line: deque[_Going]) -> Iterator[Answers]:
        """Waits for the batch that took its last step longest ago; gives what is ready, in the order of asking."""
        going = line.popleft()  # so that it keeps no memory once it has landed
        if going.speaks():
            self.speaking.append(going.stepped())
            return
        self.landed[going.number] = self._said(going)
        while self.given in self.landed:
            yield self.landed.pop(self.given)
            self.given += 1

    def _said(self, going: _Going) -> Answers:
        if (said := going.said()) is not None:
            return said
        return self.engine.in_halves(going.one, partial(self.engine.answered, new=self.new, shared=going.shared))


class _Going:
    """A batch under way. `fits`: whether there was memory for it so far; where not, it holds none, and says nothing."""

    def __init__(
        self, engine: PackedEngine, number: int, one: Asked[PackedBatch], new: int, shared: Cache | None
    ) -> None:
        self.engine, self.number, self.one, self.new, self.shared = engine, number, one, new, shared
        self.fits = self._unless_out_of_memory(self._read)

    def stepped(self) -> _Going:
        """Feeds the last token back, whether or not anybody still speaks: to ask would be to wait; then sends home."""
        self.fits = self.fits and self._unless_out_of_memory(self._step_and_send)
        return self

    def speaks(self) -> bool:
        """Whether a row has not said all, and may go on; waits for what was sent home."""
        if self.fits and self.arrived:
            self.arrived.synchronize()
        return self.fits and len(self.tokens) < self.new and bool(self.home[0][0].any())

    def said(self) -> Answers | None:
        """What every row said, once none speaks. None where it does not fit."""
        if not self.fits:
            return None
        flags, logprob_BO = self.home
        tokens = [[t for t in row if t != UNCOUNTED] for row in flags[2:].T.tolist()]
        return Answers(tokens, logprob_BO.numpy(), flags[1].bool().numpy())

    def _unless_out_of_memory(self, do: Callable[[], None]) -> bool:
        try:
            self.engine.become(self.one.state)
            do()
        except torch.OutOfMemoryError:
            self.cache = Cache([])
            return False
        return True

    def _read(self) -> None:
        prefix = 0 if self.shared is None else self.shared.layers[0].shape[2]
        x_TD, self.geometry = self.one.batch.after(prefix, self.new - 1)
        self.cache = self.engine.layers.cache(len(self.one.batch), self.geometry.slots)
        if self.shared is not None:
            self.cache.begin_with(self.shared)
        if self.one.watcher:
            self.one.watcher.see(self.one.batch.positions)
        logits_BV = self._logits(x_TD, self.geometry)
        options_BO = to_device_async(self.one.options_BO, logits_BV.device)
        self.logprob_BO = logits_BV.log_softmax(-1).gather(1, options_BO)
        self.tokens: list[Tensor] = []
        self.finite_B = self.running_B = torch.ones_like(options_BO[:, 0], dtype=torch.bool)
        self._take(logits_BV)

    def _step_and_send(self) -> None:
        if self.new > 1:
            self._step()
        flags = self._flags()
        self.home = [x.to("cpu", non_blocking=True) for x in (flags, self.logprob_BO)]
        self.arrived = torch.cuda.Event() if flags.is_cuda else None
        if self.arrived:
            self.arrived.record(torch.cuda.current_stream(flags.device))

    def _flags(self) -> Tensor:
        """int64 [2 + tokens, B]: who still speaks, who is finite, and what was said."""
        return torch.stack([self.running_B, self.finite_B, *self.tokens])

    def _step(self) -> None:
        """One more token of every row."""
        token_B, running_B = self.fed.wait()
        if self.one.watcher:
            part_B = torch.where(running_B.bool(), int(Part.GENERATED), UNCOUNTED)
            self.one.watcher.see(Positions.padded(part_B[:, None]))
        self._take(self._logits(self.engine.model.embed_tokens(token_B), self.geometry.next(len(self.tokens) - 1)))

    def _take(self, logits_BV: Tensor) -> None:
        """The most likely token of every row that still speaks; on its way to where it is fed back."""
        token_B = logits_BV.argmax(-1)
        self.finite_B = self.finite_B & (logits_BV.isfinite().all(-1) | ~self.running_B)
        self.running_B = self.running_B & self.finite_B & ~torch.isin(token_B, self.engine.stops)
        self.tokens.append(token_B.where(self.running_B, UNCOUNTED))
        # Asked for now: later it would stand behind the next batch, which the last GPU is about to get.
        self.fed = PeerCopy(torch.stack([token_B, self.running_B]), self.engine.model.device)

    def _logits(self, x_TD: Tensor, geometry: Geometry) -> Tensor:
        """Float32, at each row's last token; on the last GPU, since the others go on with other batches."""
        hidden_BD = self.engine.layers.run(x_TD, geometry, self.cache, self.one.watcher)
        logits_BV: Tensor = self.engine.model.head(hidden_BD).float()
        return logits_BV.to(self.engine.stops.device)

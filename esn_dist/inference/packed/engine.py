"""Answers many batches in a row, so that the GPU never waits for the host while there is work to queue.

A batch is prefilled, its first token is fed back, and its answers are copied to the host. The three are pipelined: the
host collects a batch that was queued one batch ago. Where layers are spread over GPUs, each GPU works on a different
batch. An answer of two tokens (a number, then the stop token) needs no more; batches with longer answers move to a
decode queue, and take their steps while others are prefilled. On out-of-memory a batch is split in halves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.protocols import GateTransform
from esn_dist.inference.answer import BatchAnswers
from esn_dist.inference.engine import BatchRequest, Engine, PaddedEngine
from esn_dist.inference.packed.batch import PackedBatch, pack
from esn_dist.inference.packed.cache import KVCache, PackedLayout
from esn_dist.inference.packed.layers import Qwen2Layers
from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.terms import UNCOUNTED, Part
from esn_dist.transfer import PeerCopy, to_device_async


def make_engine(model: AudioLM, *, packed: bool = True, kernels: bool = False) -> Engine[Any]:
    """The packed engine where `packed` is True and the decoder has its form, else the padded one."""
    if packed and Qwen2Layers.supports(model.decoder):
        return PackedEngine(model, kernels)
    return PaddedEngine(model, kernels)


class PackedEngine(Engine[PackedBatch]):
    """Runs a decoder that `Qwen2Layers.supports`.

    Attributes:
        stages: GPUs that the layers are spread over.
    """

    def __init__(self, model: AudioLM, kernels: bool) -> None:
        super().__init__(model, kernels)
        self.layers = Qwen2Layers(model.decoder, kernels)
        self.stages = len(self.layers.devices)
        self.stop_tokens = torch.tensor(model.stop_ids, device=self.layers.devices[-1])

    @property
    def prefill_ahead(self) -> int:
        """Batches that are prefilled before the first one's token is fed back.

        One more than there are stages, if there are several. A GPU works in order: a token that is fed back earlier
        would keep the first GPU from its next batch until the last GPU has finished the batch before.
        """
        return self.stages + (self.stages > 1)

    def batch(self, prompts: Sequence[Prompt], audio_embeds: Sequence[Tensor]) -> PackedBatch:
        return pack(self.model, prompts, audio_embeds)

    @torch.inference_mode()
    def _answer_batches(
        self, requests: Iterable[BatchRequest[PackedBatch]], max_new_tokens: int, prefix: int
    ) -> Iterator[BatchAnswers]:
        self._refuse_hooks()
        # The shared prefix, computed under one transform; it is computed again where the transform changes.
        prefix_transform: GateTransform | None = None
        prefix_cache: KVCache | None = None
        inflight = InflightBatches(self, max_new_tokens)
        for request in requests:
            # 1. An observer needs every position, so its batches share no prefix.
            if prefix and not request.observer and (prefix_cache is None or prefix_transform is not request.transform):
                prefix_cache = self._try_prefill_prefix(request, prefix)
                if prefix_cache is None:  # out of memory: once the batches in flight are done there is more
                    yield from inflight.drain()
                    prefix_cache = self._prefill_prefix(request, prefix)
                prefix_transform = request.transform
            # 2. Queue this batch, and collect those that are ready meanwhile.
            yield from inflight.submit(request, None if request.observer else prefix_cache)
        # 3. Collect the rest.
        yield from inflight.drain()

    def apply(self, transform: GateTransform | None) -> None:
        super().apply(transform)
        self._refuse_hooks()

    def _refuse_hooks(self) -> None:
        if self.layers.hooked:
            raise RuntimeError("gates are hooked, and this engine calls no modules: fold the mask, or use PaddedEngine")

    def answer_alone(
        self, request: BatchRequest[PackedBatch], max_new_tokens: int, prefix_cache: KVCache | None
    ) -> BatchAnswers:
        """The answers of one batch, with no other in flight.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """
        batch = InflightBatch(self, 0, request, max_new_tokens, prefix_cache).step()
        while batch.still_decoding():
            batch.step()
        if (batch_answers := batch.answers()) is None:
            raise torch.OutOfMemoryError
        return batch_answers

    def _try_prefill_prefix(self, request: BatchRequest[PackedBatch], length: int) -> KVCache | None:
        """The cache of `_prefill_prefix`; None where the batches in flight leave too little memory."""
        try:
            return self._prefill_prefix(request, length)
        except torch.OutOfMemoryError:
            return None

    def _prefill_prefix(self, request: BatchRequest[PackedBatch], length: int) -> KVCache:
        """Keys and values of the `length` tokens that all rows begin with, under the request's transform."""
        batch = request.batch
        self.apply(request.transform)
        prefix = PackedBatch(batch.embedded_TD[:length], batch.part_T[:length], (length,))
        x_TD, layout = prefix.suffix(0, 0)
        cache = self.layers.cache(1, layout.slots)
        self.layers.forward(x_TD, layout, cache)
        return cache


class InflightBatches:
    """The batches that the GPUs work on, in three queues: `prefilled`, `awaiting_host_copy` and `decoding`.

    A batch moves to the second queue with its first decode step, and to the third one with its next. A queue holds
    about one batch for each GPU. While the decode queue is full, its first batch takes a step for each batch that is
    prefilled. Where more batches decode than it holds, they take turns, and nothing is prefilled until one of them
    ends, since each keeps memory. Answers are yielded in the order of submission.

    Attributes:
        finished: by number, answers that wait for those of earlier batches.
        submitted: batches so far.
        yielded: answers so far.
    """

    def __init__(self, engine: PackedEngine, max_new_tokens: int) -> None:
        self.engine, self.max_new_tokens = engine, max_new_tokens
        self.prefilled, self.awaiting_host_copy, self.decoding = (deque[InflightBatch]() for _ in range(3))
        self.finished: dict[int, BatchAnswers] = {}
        self.submitted = self.yielded = 0

    def submit(self, request: BatchRequest[PackedBatch], prefix_cache: KVCache | None) -> Iterator[BatchAnswers]:
        """Queue one more batch; yields the answers that are ready."""
        # 1. Prefill it.
        batch = InflightBatch(self.engine, self.submitted, request, self.max_new_tokens, prefix_cache)
        self.prefilled.append(batch)
        self.submitted += 1
        # 2. Feed back the first token of the batch that was prefilled longest ago.
        if len(self.prefilled) == self.engine.prefill_ahead:
            self.awaiting_host_copy.append(self.prefilled.popleft().step())
        # 3. One step of a batch with long answers.
        if len(self.decoding) == self.engine.stages:
            yield from self._collect(self.decoding)
        # 4. Collect until no queue is longer than the number of GPUs.
        for queue in (self.awaiting_host_copy, self.decoding):
            while len(queue) > self.engine.stages:
                yield from self._collect(queue)

    def drain(self) -> Iterator[BatchAnswers]:
        """Yields the answers of all batches in flight."""
        while self.prefilled:
            self.awaiting_host_copy.append(self.prefilled.popleft().step())
        while queue := self.awaiting_host_copy or self.decoding:
            yield from self._collect(queue)

    def _collect(self, queue: deque[InflightBatch]) -> Iterator[BatchAnswers]:
        """Wait for the first batch of a queue; it decodes on, or its answers are yielded in their order."""
        batch = queue.popleft()  # so that its memory is freed once it has finished
        if batch.still_decoding():
            self.decoding.append(batch.step())
            return
        self.finished[batch.number] = self._answers_of(batch)
        while self.yielded in self.finished:
            yield self.finished.pop(self.yielded)
            self.yielded += 1

    def _answers_of(self, batch: InflightBatch) -> BatchAnswers:
        if (batch_answers := batch.answers()) is not None:
            return batch_answers
        answer_alone = partial(
            self.engine.answer_alone, max_new_tokens=self.max_new_tokens, prefix_cache=batch.prefix_cache
        )
        return self.engine.answer_in_halves(batch.request, answer_alone)


class InflightBatch:
    """A batch that the GPUs work on.

    Attributes:
        fits_in_memory: whether its memory sufficed so far; where not, it keeps none, and has no answers.
        next_input: the tokens and flags that the next decode step reads, on their way to the first GPU.
        host_copy: flags with tokens, and log-probabilities, on their way to the host.
        copied: the event after which `host_copy` may be read.
    """

    def __init__(
        self,
        engine: PackedEngine,
        number: int,
        request: BatchRequest[PackedBatch],
        max_new_tokens: int,
        prefix_cache: KVCache | None,
    ) -> None:
        self.engine, self.number, self.request = engine, number, request
        self.max_new_tokens, self.prefix_cache = max_new_tokens, prefix_cache
        self.fits_in_memory = self._run(self._prefill)

    def step(self) -> InflightBatch:
        """Queue a decode step and a copy to the host; rows may have stopped, but to check would be to wait."""
        self.fits_in_memory = self.fits_in_memory and self._run(self._decode_and_copy)
        return self

    def still_decoding(self) -> bool:
        """Whether any row has not stopped and may go on; waits for the copy to the host."""
        if self.fits_in_memory and self.copied:
            self.copied.synchronize()
        return self.fits_in_memory and len(self.tokens) < self.max_new_tokens and bool(self.host_copy[0][0].any())

    def answers(self) -> BatchAnswers | None:
        """The answers of every row, once none decodes; None where the batch did not fit."""
        if not self.fits_in_memory:
            return None
        flags, logprob_BO = self.host_copy
        tokens = [[t for t in row if t != UNCOUNTED] for row in flags[2:].T.tolist()]
        return BatchAnswers(tokens, logprob_BO.numpy(), flags[1].bool().numpy())

    def _run(self, compute: Callable[[], None]) -> bool:
        """Whether `compute` fits into memory under the request's transform; if not, the batch's memory is freed."""
        try:
            self.engine.apply(self.request.transform)
            compute()
        except torch.OutOfMemoryError:
            self.cache = KVCache([])
            return False
        return True

    def _prefill(self) -> None:
        # 1. [T, D] of the tokens after the shared prefix, and a cache that begins with it.
        prefix = 0 if self.prefix_cache is None else self.prefix_cache.layers[0].shape[2]
        x_TD, self.layout = self.request.batch.suffix(prefix, self.max_new_tokens - 1)
        self.cache = self.engine.layers.cache(len(self.request.batch), self.layout.slots)
        if self.prefix_cache is not None:
            self.cache.write_prefix(self.prefix_cache)
        # 2. [T, D] -> [B, V] at each row's last token.
        if self.request.observer:
            self.request.observer.begin_forward(self.request.batch.positions)
        logits_BV = self._logits(x_TD, self.layout)
        # 3. [B, V] -> [B, O]: log-probabilities of the options.
        options_BO = to_device_async(self.request.options_BO, logits_BV.device)
        self.logprob_BO = logits_BV.log_softmax(-1).gather(1, options_BO)
        # 4. [B, V] -> [B]: the first token.
        self.tokens: list[Tensor] = []
        self.finite_B = self.decoding_B = torch.ones_like(options_BO[:, 0], dtype=torch.bool)
        self._append_token(logits_BV)

    def _decode_and_copy(self) -> None:
        if self.max_new_tokens > 1:
            self._decode_step()
        # int64 [2 + tokens, B]: which rows still decode, which are finite, and the tokens so far.
        flags = torch.stack([self.decoding_B, self.finite_B, *self.tokens])
        self.host_copy = [x.to("cpu", non_blocking=True) for x in (flags, self.logprob_BO)]
        self.copied = torch.cuda.Event() if flags.is_cuda else None
        if self.copied:
            self.copied.record(torch.cuda.current_stream(flags.device))

    def _decode_step(self) -> None:
        """One more token of every row: [B] -> [B, D] -> [B, V] -> [B]."""
        token_B, decoding_B = self.next_input.wait()
        if self.request.observer:
            part_B = torch.where(decoding_B.bool(), int(Part.GENERATED), UNCOUNTED)
            self.request.observer.begin_forward(TokenPositions.padded(part_B[:, None]))
        embedded_BD = self.engine.model.embed_tokens(token_B)
        self._append_token(self._logits(embedded_BD, self.layout.decode_step(len(self.tokens) - 1)))

    def _append_token(self, logits_BV: Tensor) -> None:
        """Append the most likely token of every row that still decodes, and start its copy to the first GPU."""
        token_B = logits_BV.argmax(-1)
        self.finite_B = self.finite_B & (logits_BV.isfinite().all(-1) | ~self.decoding_B)
        self.decoding_B = self.decoding_B & self.finite_B & ~torch.isin(token_B, self.engine.stop_tokens)
        self.tokens.append(token_B.where(self.decoding_B, UNCOUNTED))
        # Started now: later the copy would wait behind the next batch, which the last GPU is about to get.
        self.next_input = PeerCopy(torch.stack([token_B, self.decoding_B]), self.engine.model.device)

    def _logits(self, x_TD: Tensor, layout: PackedLayout) -> Tensor:
        """Float32 [B, V] at each row's last token; on the last GPU, since the others go on with other batches."""
        hidden_BD = self.engine.layers.forward(x_TD, layout, self.cache, self.request.observer)
        logits_BV: Tensor = self.engine.model.head(hidden_BD).float()
        return logits_BV.to(self.engine.stop_tokens.device)

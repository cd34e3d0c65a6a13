"""The prompts of a set of utterances, batched once and answered under any transform of the gates.

Turns what the model generates into the store's rows: emotion codes, outcomes, option log-probabilities, counts. Knows
no store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import Gate
from esn_dist.gates.protocols import GateTransform
from esn_dist.inference.answer import BatchAnswers
from esn_dist.inference.batches import compose, shared_prefix
from esn_dist.inference.engine import BatchRequest, Engine, EngineBatch
from esn_dist.task.answers import read_answer
from esn_dist.task.prompt import question
from esn_dist.terms import PARTS, T_NOT_WRITTEN, Outcome


@dataclass(slots=True)
class AnswerRows:
    """The answers of n utterances in the store's dtypes; a row without answer keeps its outcome and fill values.

    Attributes:
        answer: int8 [n], emotion code or −1.
        outcome: uint8 [n].
        logprob: float32 [n, emotion].
        text: n strings.
        K: uint16 [n, part, layer, neuron], where gates were counted.
        T: uint16 [n, part], where gates were counted.
        T_expert: uint16 [n, part, layer, expert], where the counted gates are experts.
    """

    answer: npt.NDArray[np.int8]
    outcome: npt.NDArray[np.uint8]
    logprob: npt.NDArray[np.float32]
    text: list[str]
    K: npt.NDArray[np.uint16] | None = None
    T: npt.NDArray[np.uint16] | None = None
    T_expert: npt.NDArray[np.uint16] | None = None

    def part(self, start: int, stop: int) -> AnswerRows:
        """Rows `start` to `stop`."""
        rows = slice(start, stop)
        counts = (None if array is None else array[rows] for array in (self.K, self.T, self.T_expert))
        return AnswerRows(self.answer[rows], self.outcome[rows], self.logprob[rows], self.text[rows], *counts)


class PromptBatches:
    """One prompt for each of n utterances, in batches.

    Args:
        audio_embeds: audio embeddings [R, D] of each utterance; None where the clip is unreadable.
        orders: the emotions in the order in which each utterance's prompt lists them.
        emotions: the emotions of the corpus, in code order.
        options: the word shown for each of `emotions`.

    Attributes:
        unreadable: rows without audio embeddings.
        prefix: tokens that all prompts begin with.
        batches: the rows of each batch, and the batch.
    """

    def __init__(
        self,
        engine: Engine[Any],
        audio_embeds: Sequence[Tensor | None],
        orders: Sequence[tuple[str, ...]],
        emotions: tuple[str, ...],
        options: tuple[str, ...],
        token_budget: int,
    ) -> None:
        model = engine.model
        self.engine, self.orders, self.emotions, self.size = engine, orders, emotions, len(audio_embeds)
        # 1. The words of each utterance's options, in the order of its prompt.
        self.words = [[options[emotions.index(e)] for e in order] for order in orders]
        # 2. int64 [n, E]: the token that the prompt gives to each emotion, so log-probabilities come by emotion.
        numbers = model.number_tokens(len(emotions))
        self.options_nE = torch.tensor([[numbers[order.index(e)] for e in emotions] for order in orders])
        # 3. Prompts of the readable utterances.
        readable = [(row, embeds_RD) for row, embeds_RD in enumerate(audio_embeds) if embeds_RD is not None]
        self.unreadable = sorted(set(range(self.size)) - {row for row, _ in readable})
        prompts = [model.prompt(len(embeds_RD), question(self.words[row])) for row, embeds_RD in readable]
        # 4. Batches of prompts of like length.
        groups = compose([len(p) for p in prompts], token_budget)
        self.prefix = shared_prefix(prompts) if prompts else 0
        self.batches = [
            (
                [readable[i][0] for i in group],
                engine.batch([prompts[i] for i in group], [readable[i][1] for i in group]),
            )
            for group in groups
        ]

    def answer(
        self, max_new_tokens: int, counted: Sequence[Gate] | None = None, transform: GateTransform | None = None
    ) -> AnswerRows:
        """Answer every prompt once, under `transform` or with counts of the gates `counted`.

        Raises:
            ValueError: both are given.
        """
        if counted and transform:
            raise ValueError("gates are counted or transformed, not both at once")
        if counted:
            return self.answer_and_count(max_new_tokens, counted)()
        return self.answer_under([transform], max_new_tokens)[0]

    def answer_under(self, transforms: Sequence[GateTransform | None], max_new_tokens: int) -> list[AnswerRows]:
        """Answer every prompt under each transform (None: gates unchanged), without a pause between them."""
        results = [self._blank() for _ in transforms]
        self._answer(
            [
                (result, rows, self._request(batch, rows, transform))
                for result, transform in zip(results, transforms, strict=True)
                for rows, batch in self.batches
            ],
            max_new_tokens,
        )
        return results

    def answer_and_count(self, max_new_tokens: int, gates: Sequence[Gate]) -> Callable[[], AnswerRows]:
        """Answer every prompt and count `gates`.

        Returns:
            A function that fetches the counts from the device. It keeps neither the model nor the prompts.
        """
        # 1. One counter for each batch.
        result = self._blank()
        kernels = self.engine.kernels
        counters = [(rows, ActivationCounter(gates, len(rows), len(PARTS), kernels)) for rows, _ in self.batches]
        # 2. Answer all batches.
        requests = [
            (result, rows, BatchRequest(batch, self.options_nE[rows], observer=counter))
            for (rows, batch), (_, counter) in zip(self.batches, counters, strict=True)
        ]
        self._answer(requests, max_new_tokens)
        # 3. The device may start other work, which the counts need not wait for.
        for _, counter in counters:
            counter.finish()
        shape = (len(gates), gates[0].width)
        return partial(_with_counts, result, counters, self.unreadable, shape, gates[0].experts)

    def _request(
        self, batch: EngineBatch, rows: list[int], transform: GateTransform | None
    ) -> BatchRequest[EngineBatch]:
        observer = transform.observer() if transform else None
        return BatchRequest(batch, self.options_nE[rows], observer, transform)

    def _answer(
        self, requests: Sequence[tuple[AnswerRows, list[int], BatchRequest[EngineBatch]]], max_new_tokens: int
    ) -> None:
        """Answer each request, and read the answers into its rows of its result."""
        batches = (request for *_, request in requests)
        with closing(self.engine.answer_batches(batches, max_new_tokens, self.prefix)) as all_answers:
            for (result, rows, _), answers in zip(requests, all_answers, strict=True):
                self._read(result, rows, answers)

    def _blank(self) -> AnswerRows:
        n, emotions = self.size, len(self.emotions)
        outcome = np.full(n, Outcome.NOT_WRITTEN, np.uint8)
        outcome[self.unreadable] = Outcome.UNREADABLE
        return AnswerRows(np.full(n, -1, np.int8), outcome, np.full((n, emotions), np.nan, np.float32), [""] * n)

    def _read(self, result: AnswerRows, rows: list[int], answers: BatchAnswers) -> None:
        by_row = zip(rows, answers.tokens, answers.logprob_BO, answers.finite_B, strict=True)
        for row, tokens, logprob_E, finite in by_row:
            if not finite:
                result.outcome[row] = Outcome.NON_FINITE
                continue
            result.text[row] = self.engine.model.decode(tokens)
            result.logprob[row] = logprob_E
            number = read_answer(result.text[row], self.words[row])
            result.outcome[row] = Outcome.UNPARSED if number is None else Outcome.ANSWERED
            result.answer[row] = -1 if number is None else self.emotions.index(self.orders[row][number - 1])


def _with_counts(
    result: AnswerRows,
    counters: Sequence[tuple[list[int], ActivationCounter]],
    unreadable: list[int],
    shape: tuple[int, int],
    experts: int,
) -> AnswerRows:
    """`result` with the counts of each batch, of gates of `shape` [layer, neuron]."""
    # Every row is written below or is unreadable: filling hundreds of megabytes first would write them twice.
    size = len(result.answer)
    result.K = np.empty((size, len(PARTS), *shape), np.uint16)
    result.K[unreadable] = 0
    result.T = np.full((size, len(PARTS)), T_NOT_WRITTEN, np.uint16)
    if experts:
        result.T_expert = np.full((size, len(PARTS), shape[0], experts), T_NOT_WRITTEN, np.uint16)
    for rows, counter in counters:
        result.K[rows], result.T[rows] = counter.result()
        if result.T_expert is not None:
            result.T_expert[rows] = counter.expert_positions()
    return result

"""The question put to each utterance of a set, batched once, asked under any state of the gates.

Turns what a model says into the store's rows: emotion codes, outcomes, option log-probabilities, counts. Knows nothing
of where the rows go.
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

from esn_dist.gates.count import Counter
from esn_dist.gates.find import Gate
from esn_dist.gates.scale import Scale
from esn_dist.inference.answer import Answers
from esn_dist.inference.batches import compose, shared_prefix
from esn_dist.inference.engine import Asked, Engine, Watcher
from esn_dist.task.answers import read_answer
from esn_dist.task.prompt import question
from esn_dist.terms import PARTS, T_NOT_WRITTEN, Outcome


@dataclass(slots=True)
class Rows:
    """What n utterances said, in the store's dtypes; a row that could not be asked keeps its outcome and fill values.

    Attributes:
        answer: int8 [n], emotion code or −1. outcome: uint8 [n]. logprob: float32 [n, emotion]. text: n strings.
        K: uint16 [n, part, layer, neuron] and T: uint16 [n, part], where counted.
        T_expert: uint16 [n, part, layer, expert], where the gates that were counted are experts.
    """

    answer: npt.NDArray[np.int8]
    outcome: npt.NDArray[np.uint8]
    logprob: npt.NDArray[np.float32]
    text: list[str]
    K: npt.NDArray[np.uint16] | None = None
    T: npt.NDArray[np.uint16] | None = None
    T_expert: npt.NDArray[np.uint16] | None = None

    def part(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop`."""
        at = slice(start, stop)
        counted = (None if counts is None else counts[at] for counts in (self.K, self.T, self.T_expert))
        return Rows(self.answer[at], self.outcome[at], self.logprob[at], self.text[at], *counted)


class Questions:
    """Batches of one set of rows.

    Args:
        rows: audio rows [R, D] of each utterance; None where the clip cannot be read any more.
        orders: the emotions in the order in which each utterance shows them.
        emotions: the corpus's, in code order.
        options: the word shown for each of `emotions`.
    """

    def __init__(
        self,
        engine: Engine[Any],
        rows: Sequence[Tensor | None],
        orders: Sequence[tuple[str, ...]],
        emotions: tuple[str, ...],
        options: tuple[str, ...],
        token_budget: int,
    ) -> None:
        model = engine.model
        self.engine, self.orders, self.emotions, self.size = engine, orders, emotions, len(rows)
        self.words = [[options[emotions.index(e)] for e in order] for order in orders]  # as printed, per utterance
        numbers = model.number_tokens(len(emotions))
        # Column e: the token that this utterance's prompt gives to emotion e, so log-probabilities come by emotion.
        self.options_nE = torch.tensor([[numbers[order.index(e)] for e in emotions] for order in orders])
        readable = [(i, r) for i, r in enumerate(rows) if r is not None]
        self.unreadable = sorted(set(range(self.size)) - {i for i, _ in readable})
        prompts = [model.prompt(len(r), question(self.words[i])) for i, r in readable]
        groups = compose([len(p) for p in prompts], token_budget)
        self.prefix = shared_prefix(prompts) if prompts else 0
        self.batches = [
            (
                [readable[i][0] for i in group],
                engine.batch([prompts[i] for i in group], [readable[i][1] for i in group]),
            )
            for group in groups
        ]

    def ask(self, max_new_tokens: int, counted: Sequence[Gate] | None = None, mix: Watcher | None = None) -> Rows:
        """Answer every batch with the gates as they are, or under `mix`; with counts of the gates `counted`."""
        if counted and mix:
            raise ValueError("gates are counted or mixed, not both at once")
        if counted:
            return self.count(max_new_tokens, counted)()
        return self.ask_under([mix], max_new_tokens)[0]

    def ask_under(self, interventions: Sequence[Scale | Watcher | None], max_new_tokens: int) -> list[Rows]:
        """Answer every batch under each intervention (None: the gates as they are), without a pause between them."""
        found = [self._blank() for _ in interventions]
        self._answer(
            [
                (rows, at, self._asked(batch, at, one))
                for rows, one in zip(found, interventions, strict=True)
                for at, batch in self.batches
            ],
            max_new_tokens,
        )
        return found

    def count(self, max_new_tokens: int, gates: Sequence[Gate]) -> Callable[[], Rows]:
        """Answer every batch and count `gates`. What is returned fetches the counts, without model or prompts."""
        rows = self._blank()
        counters = [Counter(gates, len(at), len(PARTS), self.engine.kernels) for at, _ in self.batches]
        with_counters = list(zip(self.batches, counters, strict=True))
        self._answer([(rows, at, self._asked(batch, at, c)) for (at, batch), c in with_counters], max_new_tokens)
        counted = [(at, counter) for (at, _), counter in with_counters]
        for counter in counters:
            counter.seal()
        return partial(_with_counts, rows, counted, self.unreadable, (len(gates), gates[0].width), gates[0].experts)

    def _asked(self, batch: Any, at: list[int], intervention: Scale | Watcher | None) -> Asked[Any]:
        if isinstance(intervention, Scale):
            return Asked(batch, self.options_nE[at], state=intervention)
        return Asked(batch, self.options_nE[at], intervention)

    def _answer(self, wanted: Sequence[tuple[Rows, list[int], Asked[Any]]], max_new_tokens: int) -> None:
        """Ask each, and read what is said into its rows."""
        asked = (asked for *_, asked in wanted)
        with closing(self.engine.answers(asked, max_new_tokens, self.prefix)) as said:
            for (rows, at, _), answers in zip(wanted, said, strict=True):
                self._read(rows, at, answers)

    def _blank(self) -> Rows:
        n, emotions = self.size, len(self.emotions)
        outcome = np.full(n, Outcome.NOT_WRITTEN, np.uint8)
        outcome[self.unreadable] = Outcome.UNREADABLE
        return Rows(np.full(n, -1, np.int8), outcome, np.full((n, emotions), np.nan, np.float32), [""] * n)

    def _read(self, rows: Rows, at: list[int], said: Answers) -> None:
        for i, tokens, logprob_E, finite in zip(at, said.tokens, said.logprob_BO, said.finite_B, strict=True):
            if not finite:
                rows.outcome[i] = Outcome.NON_FINITE
                continue
            rows.text[i] = self.engine.model.decode(tokens)
            rows.logprob[i] = logprob_E
            number = read_answer(rows.text[i], self.words[i])
            rows.outcome[i] = Outcome.UNPARSED if number is None else Outcome.ANSWERED
            rows.answer[i] = -1 if number is None else self.emotions.index(self.orders[i][number - 1])


def _with_counts(
    rows: Rows,
    counted: Sequence[tuple[list[int], Counter]],
    unreadable: list[int],
    shape: tuple[int, int],
    experts: int,
) -> Rows:
    """`rows` with what the counters of each batch hold, of gates of `shape` [layer, neuron]."""
    # Every row is written below or is unreadable: to fill hundreds of megabytes first would be to touch them twice.
    size = len(rows.answer)
    rows.K = np.empty((size, len(PARTS), *shape), np.uint16)
    rows.K[unreadable] = 0
    rows.T = np.full((size, len(PARTS)), T_NOT_WRITTEN, np.uint16)
    if experts:
        rows.T_expert = np.full((size, len(PARTS), shape[0], experts), T_NOT_WRITTEN, np.uint16)
    for at, counter in counted:
        rows.K[at], rows.T[at] = counter.result()
        if rows.T_expert is not None:
            rows.T_expert[at] = counter.routed()
    return rows

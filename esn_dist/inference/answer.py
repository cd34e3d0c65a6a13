"""Greedy answers of one padded batch: causal prefill without a mask, then decode steps until every row has stopped.

Right padding under causal attention needs no mask, and the vocabulary projection reads one position of each row, so
prefill is fast; a decode step masks the padding. Batched equals single: the same answer, alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache

from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.protocols import ActivationObserver
from esn_dist.inference.batches import PaddedBatch
from esn_dist.models.audio_lm import AudioLM
from esn_dist.terms import UNCOUNTED, Part


@dataclass(frozen=True, slots=True)
class BatchAnswers:
    """The answers of a batch.

    Attributes:
        tokens: per utterance, generated ids up to and without the stop token.
        logprob_BO: float32, full-vocabulary log-softmax of the options' tokens at the first answer position.
        finite_B: bool, whether every logit that was used is finite; where not, tokens and logprob mean nothing.
    """

    tokens: list[list[int]]
    logprob_BO: npt.NDArray[np.float32]
    finite_B: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[BatchAnswers]) -> BatchAnswers:
        """The answers of one batch that was answered in parts."""
        return cls(
            [tokens for part in parts for tokens in part.tokens],
            np.concatenate([part.logprob_BO for part in parts]),
            np.concatenate([part.finite_B for part in parts]),
        )


@torch.inference_mode()
def answer(
    model: AudioLM,
    batch: PaddedBatch,
    options_BO: Tensor,
    max_new_tokens: int,
    observer: ActivationObserver | None = None,
) -> BatchAnswers:
    """Answer `batch` greedily with at most `max_new_tokens` tokens each.

    Args:
        options_BO: token ids whose log-probabilities at the first answer position are wanted.
        observer: its hooks are attached. Gets the positions of every forward call. The last generated token and stop
            tokens are not fed to the decoder.
    """
    decoding = _GreedyDecoding(model, batch, observer)
    # 1. Prefill, and the first token: [B, V].
    logits_BV = decoding.prefill()
    decoding.append_token(logits_BV)
    # 2. [B, V] -> [B, O]: log-probabilities of the options.
    logprob_BO = logits_BV.log_softmax(-1).gather(1, options_BO.to(logits_BV.device))
    # 3. Decode steps until every row has stopped.
    while len(decoding.generated) < max_new_tokens and decoding.decoding_B.any():
        decoding.append_token(decoding.decode_step())
    # 4. Steps x [B] -> [B, steps], without what followed each row's stop token.
    tokens = [[t for t in row if t != UNCOUNTED] for row in torch.stack(decoding.generated, 1).tolist()]
    return BatchAnswers(tokens, logprob_BO.cpu().numpy(), decoding.finite_B.cpu().numpy())


class _GreedyDecoding:
    """The state of a batch between two forward calls.

    Attributes:
        token_B: the token that each row's last call made most likely.
        finite_B: bool, whether every logit that was used is finite.
        decoding_B: bool, whether the row goes on: no stop token so far, and every logit is finite.
        generated: per call, the tokens [B] of the rows that go on; `UNCOUNTED` in the other rows.
    """

    def __init__(self, model: AudioLM, batch: PaddedBatch, observer: ActivationObserver | None) -> None:
        self._model, self._batch, self._observer = model, batch, observer
        self._device = batch.length_B.device
        self._cache = DynamicCache()
        self._mask_BL = batch.valid_BL
        self._stops = torch.tensor(model.stop_ids, device=self._device)
        self.finite_B = self.decoding_B = torch.ones_like(batch.length_B, dtype=torch.bool)
        self.generated: list[Tensor] = []

    def prefill(self) -> Tensor:
        """Logits [B, V] after each row's last position."""
        # 1. [B, L, D] -> [B, L, D], causal without a mask.
        self._begin_forward(self._batch.part_BL)
        hidden_BLD = self._decoder(self._batch.embedded_BLD)
        # 2. [B, L, D] -> [B, D] -> [B, V].
        rows_B = torch.arange(len(self._batch), device=self._device)
        return self._logits(hidden_BLD[rows_B, self._batch.length_B - 1])

    def decode_step(self) -> Tensor:
        """Logits [B, V] after the last token of each row."""
        part_B = torch.where(self.decoding_B, int(Part.GENERATED), UNCOUNTED)
        self._begin_forward(part_B[:, None])
        # 1. [B, L] -> [B, L + 1] keys are visible, and [B, 1, D] goes in.
        self._mask_BL = torch.cat([self._mask_BL, self._mask_BL.new_ones(len(self._mask_BL), 1)], dim=1)
        position_B1 = (self._batch.length_B + len(self.generated) - 1)[:, None]
        embedded_B1D = self._model.embed_tokens(self.token_B)[:, None]
        hidden_B1D = self._decoder(embedded_B1D, self._mask_BL, position_B1)
        # 2. [B, 1, D] -> [B, V].
        return self._logits(hidden_B1D[:, -1])

    def append_token(self, logits_BV: Tensor) -> None:
        """[B, V] -> [B]: the next token; a row goes on unless it is a stop token, or a logit is not finite."""
        self.token_B = logits_BV.argmax(-1)
        self.finite_B = self.finite_B & (logits_BV.isfinite().all(-1) | ~self.decoding_B)
        self.decoding_B = self.decoding_B & self.finite_B & ~torch.isin(self.token_B, self._stops)
        self.generated.append(self.token_B.where(self.decoding_B, UNCOUNTED))

    def _begin_forward(self, part_BL: Tensor) -> None:
        if self._observer:
            self._observer.begin_forward(TokenPositions.padded(part_BL))

    def _logits(self, hidden_BD: Tensor) -> Tensor:
        logits_BV: Tensor = self._model.head(hidden_BD)
        return logits_BV.float().to(self._device)

    def _decoder(
        self, embedded_BLD: Tensor, mask_BL: Tensor | None = None, position_BL: Tensor | None = None
    ) -> Tensor:
        output = self._model.decoder(
            inputs_embeds=embedded_BLD,
            attention_mask=mask_BL,
            position_ids=position_BL,
            past_key_values=self._cache,
            use_cache=True,
        )
        # A decoder spread over GPUs ends on another one than it began.
        hidden_BLD: Tensor = output.last_hidden_state.to(embedded_BLD.device)
        return hidden_BLD

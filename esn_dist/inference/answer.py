"""Greedy answers of one padded batch: causal prefill without a mask, then decode steps until every row has stopped.

Right padding under causal attention needs no mask, and the vocabulary projection reads one position of each row, so
prefill is fast; a decode step masks the padding. Batched equals single: the same answer, alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        """Those of one batch that was answered in parts."""
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
        observer: its hooks are attached. It is told of the positions fed to the decoder; the last generated token and
            stop tokens never are.
    """
    device, cache = batch.length_B.device, DynamicCache()
    # 1. Prefill [B, L, D]; the head reads each row's last position: [B, D] -> [B, V].
    if observer:
        observer.begin_forward(TokenPositions.padded(batch.part_BL))
    hidden_BLD = _decoder(model, cache, batch.embedded_BLD)
    rows_B = torch.arange(len(batch.length_B), device=device)
    logits_BV = model.head(hidden_BLD[rows_B, batch.length_B - 1]).float().to(device)
    # 2. [B, V] -> [B, O]: log-probabilities of the options.
    logprob_BO = logits_BV.log_softmax(-1).gather(1, options_BO.to(device))
    # 3. [B, V] -> [B]: the first token; a row decodes on unless it is a stop token, or a logit is not finite.
    stops = torch.tensor(model.stop_ids, device=device)
    token_B, finite_B = logits_BV.argmax(-1), logits_BV.isfinite().all(-1)
    decoding_B = finite_B & ~torch.isin(token_B, stops)
    generated = [token_B.where(decoding_B, UNCOUNTED)]
    mask_BL = batch.valid_BL
    for step in range(max_new_tokens - 1):
        if not decoding_B.any():
            break
        if observer:
            part_B = torch.where(decoding_B, int(Part.GENERATED), UNCOUNTED)
            observer.begin_forward(TokenPositions.padded(part_B[:, None]))
        # 4. Decode step: [B, L] -> [B, L + 1] keys are visible, and [B, 1, D] goes in.
        mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(mask_BL), 1)], dim=1)
        position_B1 = (batch.length_B + step)[:, None]
        hidden_B1D = _decoder(model, cache, model.embed_tokens(token_B)[:, None], mask_BL, position_B1)
        # 5. [B, 1, D] -> [B, V] -> [B]: as step 3, for the rows that still decode.
        logits_BV = model.head(hidden_B1D[:, -1]).float().to(device)
        token_B = logits_BV.argmax(-1)
        finite_B &= logits_BV.isfinite().all(-1) | ~decoding_B
        decoding_B = decoding_B & finite_B & ~torch.isin(token_B, stops)
        generated.append(token_B.where(decoding_B, UNCOUNTED))
    # 6. Steps x [B] -> [B, steps], without what followed each row's stop token.
    tokens = [[t for t in row if t != UNCOUNTED] for row in torch.stack(generated, 1).tolist()]
    return BatchAnswers(tokens, logprob_BO.cpu().numpy(), finite_B.cpu().numpy())


def _decoder(
    model: AudioLM, cache: Any, embedded_BLD: Tensor, mask_BL: Tensor | None = None, position_BL: Tensor | None = None
) -> Tensor:
    output = model.decoder(
        inputs_embeds=embedded_BLD,
        attention_mask=mask_BL,
        position_ids=position_BL,
        past_key_values=cache,
        use_cache=True,
    )
    # A decoder spread over GPUs ends on another one than it began.
    hidden_BLD: Tensor = output.last_hidden_state.to(embedded_BLD.device)
    return hidden_BLD

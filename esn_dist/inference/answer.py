"""Greedy answers of one batch: causal prefill without a mask, then decode steps until every row has stopped.

Right padding under causal attention needs no mask, and the vocabulary projection reads one row per utterance, so the
prefill is the fast path; a decode step masks the padding. Batched equals single: one answer, alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache

from esn_dist.gates.positions import Positions
from esn_dist.inference.batches import Batch
from esn_dist.models.audio_lm import AudioLM
from esn_dist.terms import UNCOUNTED, Part


@dataclass(frozen=True, slots=True)
class Answers:
    """What a batch said.

    Attributes:
        tokens: per utterance, generated ids up to and without the stop token.
        logprob_BO: float32, full-vocabulary log-softmax of the asked-for tokens at the first answer position.
        finite_B: bool, whether every logit that was used is finite; where not, tokens and logprob mean nothing.
    """

    tokens: list[list[int]]
    logprob_BO: npt.NDArray[np.float32]
    finite_B: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """Those of one batch that was asked in parts."""
        return cls(
            [tokens for part in parts for tokens in part.tokens],
            np.concatenate([part.logprob_BO for part in parts]),
            np.concatenate([part.finite_B for part in parts]),
        )


class Listener(Protocol):
    """Whoever must know what the coming forward call is fed: a counter of gates, or Mix."""

    def see(self, positions: Positions) -> None:
        """Positions of no part are special tokens, padding, and rows whose answer is over."""


@torch.inference_mode()
def answer(
    model: AudioLM, batch: Batch, options_BO: Tensor, max_new_tokens: int, watcher: Listener | None = None
) -> Answers:
    """Answer `batch` greedily with at most `max_new_tokens` tokens each.

    Args:
        options_BO: token ids whose log-probabilities at the first answer position are wanted.
        watcher: told of the positions fed to the decoder; a token that was generated last, or a stop token, never was.
    """
    device = batch.length_B.device
    cache = DynamicCache()
    if watcher:
        watcher.see(Positions.padded(batch.part_BL))
    hidden_BLD = _decoder(model, cache, batch.embedded_BLD)
    rows = torch.arange(len(batch.length_B), device=device)
    logits_BV = model.head(hidden_BLD[rows, batch.length_B - 1]).float().to(device)
    logprob_BO = logits_BV.log_softmax(-1).gather(1, options_BO.to(device))

    stops = torch.tensor(model.stop_ids, device=device)
    token_B, finite_B = logits_BV.argmax(-1), logits_BV.isfinite().all(-1)
    running_B = finite_B & ~torch.isin(token_B, stops)
    said = [token_B.where(running_B, UNCOUNTED)]
    mask_BL = batch.valid_BL
    for step in range(max_new_tokens - 1):
        if not running_B.any():
            break
        if watcher:
            part_B = torch.where(running_B, int(Part.GENERATED), UNCOUNTED)
            watcher.see(Positions.padded(part_B[:, None]))
        mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(mask_BL), 1)], dim=1)
        position_B1 = (batch.length_B + step)[:, None]
        hidden_B1D = _decoder(model, cache, model.embed_tokens(token_B)[:, None], mask_BL, position_B1)
        logits_BV = model.head(hidden_B1D[:, -1]).float().to(device)
        token_B = logits_BV.argmax(-1)
        finite_B &= logits_BV.isfinite().all(-1) | ~running_B
        running_B = running_B & finite_B & ~torch.isin(token_B, stops)
        said.append(token_B.where(running_B, UNCOUNTED))
    tokens = [[t for t in row if t != UNCOUNTED] for row in torch.stack(said, 1).tolist()]
    return Answers(tokens, logprob_BO.cpu().numpy(), finite_B.cpu().numpy())


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
    # A sharded decoder ends on another device than it began.
    hidden_BLD: Tensor = output.last_hidden_state.to(embedded_BLD.device)
    return hidden_BLD

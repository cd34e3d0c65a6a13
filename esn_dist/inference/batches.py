"""Composes batches: length-sorted, right-padded, bounded by a token budget; a pure function of the lengths.

What is batched together never depends on answers, workers or time, so the same plan gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esn_dist.models.audio_lm import EXCLUDED, AudioLM, Prompt


def compose(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Groups of indices, longest prompts last; a group's padded size (rows × longest) is at most `budget` tokens.

    A single prompt longer than the budget is a group of its own.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Sorted, so the newcomer is the longest of its group.
        if groups and (len(groups[-1]) + 1) * lengths[index] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts side by side, ready for the decoder.

    Attributes:
        embedded_BLD: input embeddings, zeros on the padding (right).
        part_BL: int8, part of each position; `EXCLUDED` on padding and special tokens.
        length_B: int64, true lengths.
    """

    embedded_BLD: Tensor
    part_BL: Tensor
    length_B: Tensor

    @property
    def valid_BL(self) -> Tensor:
        """1 on the prompt, 0 on the padding."""
        return (torch.arange(self.part_BL.shape[1], device=self.length_B.device) < self.length_B[:, None]).long()


def pad(model: AudioLM, prompts: Sequence[Prompt], rows: Sequence[Tensor]) -> Batch:
    """`prompts` with their audio rows [R, D] as one batch on the model's device."""
    embedded = [model.embed(prompt, audio) for prompt, audio in zip(prompts, rows, strict=True)]
    parts = [torch.as_tensor(prompt.part_L, device=model.device) for prompt in prompts]
    return Batch(
        torch.nn.utils.rnn.pad_sequence(embedded, batch_first=True),
        torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=EXCLUDED),
        torch.tensor([len(p) for p in prompts], device=model.device),
    )

"""Composes batches: sorted by length, right-padded, bounded by a token budget; a pure function of the lengths.

What is batched together never depends on answers, workers or time, so the same plan gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esn_dist.models.audio_lm import AudioLM, Prompt
from esn_dist.terms import UNCOUNTED, Part


def compose(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Groups of indices, longest prompts last; a group's padded size (rows × longest) is at most `budget` tokens.

    A single prompt longer than the budget is a group of its own.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Sorted by length, so each prompt is the longest of its group so far.
        if groups and (len(groups[-1]) + 1) * lengths[index] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def shared_prefix(prompts: Sequence[Prompt]) -> int:
    """The length of the prefix that all prompts share; it excludes audio tokens, and is shorter than every prompt."""
    first = prompts[0]
    shared = min(len(p) for p in prompts) - 1
    for prompt in prompts:
        same = (prompt.ids_L[:shared] == first.ids_L[:shared]) & (prompt.part_L[:shared] != Part.AUDIO)
        shared = int(same.argmin()) if not same.all() else shared
    return shared


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Prompts in the rows of one padded tensor, ready for the decoder.

    Attributes:
        embedded_BLD: input embeddings, zeros on the padding (right).
        part_BL: int8, part of each position; `UNCOUNTED` on padding and special tokens.
        length_B: int64, true lengths.
    """

    embedded_BLD: Tensor
    part_BL: Tensor
    length_B: Tensor

    def __len__(self) -> int:
        return len(self.length_B)

    def halves(self) -> tuple[PaddedBatch, PaddedBatch]:
        """The first half of the rows, and the other rows; both keep the padding of the whole."""
        middle = len(self) // 2
        first, second = slice(middle), slice(middle, None)
        return (
            PaddedBatch(self.embedded_BLD[first], self.part_BL[first], self.length_B[first]),
            PaddedBatch(self.embedded_BLD[second], self.part_BL[second], self.length_B[second]),
        )

    @property
    def valid_BL(self) -> Tensor:
        """1 on the prompt, 0 on the padding."""
        return (torch.arange(self.part_BL.shape[1], device=self.length_B.device) < self.length_B[:, None]).long()


@torch.no_grad()
def pad(model: AudioLM, prompts: Sequence[Prompt], audio_embeds: Sequence[Tensor]) -> PaddedBatch:
    """`prompts` with their audio embeddings [R, D] as one batch on the model's device."""
    embedded = [model.embed(prompt, audio) for prompt, audio in zip(prompts, audio_embeds, strict=True)]
    parts = [torch.as_tensor(prompt.part_L, device=model.device) for prompt in prompts]
    return PaddedBatch(
        torch.nn.utils.rnn.pad_sequence(embedded, batch_first=True),
        torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=UNCOUNTED),
        torch.tensor([len(p) for p in prompts], device=model.device),
    )

"""Training prompts as tensors: the paper's question in every option order, around audio rows or a word.

Knows neither losses nor schedules. Shape letters: see `esn_dist.models`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from esn_dist.models.tiny.architecture import SYSTEM, tokenizer
from esn_dist.task.prompt import question

PROMPT_HEAD = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|audio_bos|>"
PROMPT_TAIL = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Prompts with their answers appended, right-padded.

    Attributes:
        ids_BL: token ids; audio positions hold the placeholder.
        audio_BL: at audio positions the index of the audio row, else -1.
        last_B: position of the last prompt token; the answer is at last + 1, the stop token at last + 2.
        answer_B: the answer's token id.
    """

    ids_BL: Tensor
    audio_BL: Tensor
    last_B: Tensor
    answer_B: Tensor

    @classmethod
    def join(cls, parts: Sequence[TrainingBatch]) -> TrainingBatch:
        """The rows of all parts below each other."""
        return cls(*(torch.cat([getattr(part, name.name) for part in parts]) for name in fields(cls)))

    def copy_(self, other: TrainingBatch) -> None:
        """Overwrite these tensors, in place, by those of a batch of the same shape."""
        for name in fields(self):
            getattr(self, name.name).copy_(getattr(other, name.name))


class Prompts:
    """Builds batches on one device; every option order of `emotions` is tokenised once."""

    def __init__(self, emotions: Sequence[str], device: torch.device) -> None:
        words = tokenizer()

        def ids(text: str) -> Tensor:
            return torch.tensor(words.encode(text, add_special_tokens=False), device=device)

        self.orders = list(itertools.permutations(range(len(emotions))))
        self.head = ids(PROMPT_HEAD)
        self.tails_OL = torch.stack(
            [ids(f"<|audio_eos|>{question([emotions[code] for code in order])}{PROMPT_TAIL}") for order in self.orders]
        )
        self.plain_tail = ids(f"<|audio_eos|>{PROMPT_TAIL}")
        self.stop, self.placeholder = (words.vocab[name] for name in ("<|im_end|>", "<|AUDIO|>"))
        self.digits = ids("".join(str(number) for number in range(1, len(emotions) + 1)))
        self.words = torch.cat([ids(f" {emotion}") for emotion in emotions])
        # number_OA[o, a]: zero-based number under which order o lists emotion a
        self.number_OA = torch.tensor(self.orders, device=device).argsort(dim=1)

    def choice(self, rows_B: Tensor, emotion_B: Tensor, order_B: Tensor, width: int) -> TrainingBatch:
        """Audio and options; the answer is the number of the right option."""
        answer = self.digits[self.number_OA[order_B, emotion_B]]
        return self._assemble(rows_B, self.tails_OL[order_B], answer, width, None)

    def word(self, rows_B: Tensor, emotion_B: Tensor, width: int) -> TrainingBatch:
        """Audio alone; the answer is the emotion's word."""
        tail = self.plain_tail.expand(len(rows_B), -1)
        return self._assemble(rows_B, tail, self.words[emotion_B], width, None)

    def look_up(self, emotion_B: Tensor, order_B: Tensor, width: int) -> TrainingBatch:
        """The emotion's word in the place of the audio, and options: pure reading."""
        ones_B = torch.ones_like(emotion_B)
        answer = self.digits[self.number_OA[order_B, emotion_B]]
        return self._assemble(ones_B, self.tails_OL[order_B], answer, width, self.words[emotion_B])

    def _assemble(
        self, rows_B: Tensor, tail_BL: Tensor, answer_B: Tensor, width: int, spoken_B: Tensor | None
    ) -> TrainingBatch:
        head, tail = len(self.head), tail_BL.shape[1]
        length = head + width + self.tails_OL.shape[1] + 2
        place_BL = torch.arange(length, device=rows_B.device).expand(len(rows_B), -1)
        after_BL = place_BL - head - rows_B[:, None]  # position within tail, answer, stop
        ids_BL = torch.zeros_like(place_BL)
        ids_BL[:, :head] = self.head
        audio_BL = torch.where((place_BL >= head) & (after_BL < 0), place_BL - head, -1)
        ids_BL = torch.where(audio_BL >= 0, self.placeholder if spoken_B is None else spoken_B[:, None], ids_BL)
        answered_BL = torch.cat([tail_BL, answer_B[:, None], torch.full_like(answer_B[:, None], self.stop)], dim=1)
        behind_BL = torch.gather(answered_BL, 1, after_BL.clamp(0, tail + 1))
        ids_BL = torch.where((after_BL >= 0) & (after_BL < tail + 2), behind_BL, ids_BL)
        if spoken_B is not None:
            audio_BL = torch.full_like(audio_BL, -1)
        return TrainingBatch(ids_BL, audio_BL, head + rows_B + tail - 1, answer_B)

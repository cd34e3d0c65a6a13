"""A random model with two questions, asked of it in one batch by us and one by one by its own `generate`."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import torch

from esn_dist.gates.count import ActivationCounter
from esn_dist.gates.find import find_gates
from esn_dist.inference.answer import BatchAnswers, answer
from esn_dist.inference.batches import pad
from esn_dist.models.generic.adapter import GenericAudioLM
from tests.models.synthetic_inputs import wave

ITEMS = [(4_000, "Which?"), (37_920, "Why, 1 or 2?")]
NEW = 5


class Case:
    """A random model with its items, encoded once."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.lm = GenericAudioLM(model.eval(), processor)
        self.gates = find_gates(self.lm.decoder)
        self.official = [self.lm.official_inputs(wave(samples), text) for samples, text in ITEMS]
        self.waves = [wave(samples) for samples, _ in ITEMS]
        self.rows = [self.lm.encode_clip(clip) for clip in self.waves]
        self.prompts = [self.lm.prompt(len(r), text) for r, (_, text) in zip(self.rows, ITEMS, strict=True)]
        self.batch = pad(self.lm, self.prompts, self.rows)

    def ask(self, counter: ActivationCounter | None = None) -> BatchAnswers:
        vocabulary = self.lm.model.get_output_embeddings().weight.shape[0]
        return answer(self.lm, self.batch, torch.arange(vocabulary).expand(len(ITEMS), -1), NEW, counter)

    def generated(self, model: Any) -> list[list[int]]:
        """What `model`, item by item, says under transformers' own generate."""
        tokens = []
        for inputs in self.official:
            output = model.generate(
                **inputs, max_new_tokens=NEW, do_sample=False, eos_token_id=list(self.lm.stop_ids), pad_token_id=0
            )
            new = output[0, inputs["input_ids"].shape[1] :].tolist()
            tokens.append(list(takewhile(lambda token: token not in self.lm.stop_ids, new)))
        return tokens

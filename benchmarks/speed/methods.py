"""Three methods to answer the same questions under the same mask: one by one, in padded batches, and ours.

The first two are transformers' own `generate` of the whole class, with a hook on every gate, from the file to the
answer: decoding, log-mel and the audio encoder are inside. They are spared the official processor, which pads every
clip to 300 s. Ours is the path of a sweep: audio encoded once, the mask folded, `PromptBatches` answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from esn_dist.corpora.audio import decode
from esn_dist.corpora.synthetic import SYNTHETIC_EMOTIONS
from esn_dist.gates.find import Gate
from esn_dist.gates.positions import TokenPositions
from esn_dist.gates.protocols import ActivationObserver, SiluAndMul
from esn_dist.gates.scale import Scale
from esn_dist.inference.packed.engine import make_engine
from esn_dist.models.qwen2_5_omni.adapter import Qwen25Omni, audio_token_count
from esn_dist.task.prompt import question
from esn_dist.worker.prompt_batches import AnswerRows, PromptBatches
from speed.clock import at_threads, seconds_of, thread_counts
from speed.encoded import encode_all
from speed.workload import Workload, order_of

Mask = npt.NDArray[np.bool_]
SCALE = 0.0  # of masked gates: deactivation


class Method(Protocol):
    """A method to answer all `clips` under masks."""

    clips: Sequence[Path]

    def answer(self, masks: Sequence[Mask | None], new_tokens: int) -> object:
        """Answer every question once under each mask, with its gates times `SCALE`; None leaves the gates alone."""


class Generate:
    """`generate` in batches of `size`; of 1, the reference."""

    def __init__(self, workload: Workload, clips: Sequence[Path], size: int) -> None:
        self.workload, self.clips, self.size = workload, clips, size

    def answer(self, masks: Sequence[Mask | None], new_tokens: int) -> list[list[str]]:
        """The texts, mask by mask."""
        return [[self.workload.lm.decode(row) for row in self.generate(mask, new_tokens)[0]] for mask in masks]

    def generate(self, member_LN: Mask | None, new_tokens: int, logits: bool = False) -> tuple[list[Any], list[Tensor]]:
        """New tokens of each clip, and where `logits` is True its logits [V] at the first of them."""
        lm, tokens, first = self.workload.lm, list[Any](), list[Tensor]()
        with hooked(self.workload.gates, member_LN):
            for start in range(0, len(self.clips), self.size):  # as they come: such studies do not sort
                inputs = inputs_of(lm, self.clips[start : start + self.size])
                output: Any = lm.thinker.generate(
                    **inputs, max_new_tokens=new_tokens, do_sample=False, eos_token_id=list(lm.stop_ids),
                    pad_token_id=lm.tokenizer.pad_token_id, output_logits=logits, return_dict_in_generate=True,
                )  # fmt: skip
                tokens += output.sequences[:, inputs["input_ids"].shape[1] :].tolist()
                first += output.logits[0].float().unbind() if logits else []
        return tokens, first


def inputs_of(lm: Qwen25Omni, paths: Sequence[Path]) -> dict[str, Tensor]:
    """The official processor's inputs for the clips and their questions, padded left, on the model's device."""
    mels = [lm.mel(decode(path)) for path in paths]
    prompts = [
        lm.prompt(audio_token_count(mel.shape[1]), question(order_of(path)))
        for mel, path in zip(mels, paths, strict=True)
    ]
    ids = [torch.from_numpy(prompt.ids_L) for prompt in prompts]
    empty = lm.tokenizer.pad_token_id
    inputs = {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=empty, padding_side="left"),
        "attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True, padding_side="left"),
        "input_features": pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2).to(lm.dtype),
        "feature_attention_mask": pad_sequence([torch.ones(mel.shape[1]).long() for mel in mels], batch_first=True),
    }
    return {name: value.to(lm.device) for name, value in inputs.items()}


@contextmanager
def hooked(gates: Sequence[Gate], member_LN: Mask | None) -> Iterator[None]:
    """A forward hook on every activation that multiplies by the layer's scale, as such studies do it."""
    if member_LN is None:
        yield
        return
    handles = []
    for gate, member_N in zip(gates, member_LN, strict=True):
        s_N = torch.where(torch.from_numpy(member_N), SCALE, 1.0).to(gate.down)
        handles.append(gate.activation.register_forward_hook(lambda module, args, g, s_N=s_N: g * s_N))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class SweepEngine:
    """Our engine, as an actor uses it.

    Args:
        packed: whether to use the packed engine; else the padded one, which calls every module and its hooks.
        encoded_by: another instance that has encoded the same clips.

    Attributes:
        encode_seconds: of all clips, once for a whole sweep.
        compose_seconds: of all batches, once for all cells of a corpus.
    """

    def __init__(
        self, workload: Workload, clips: Sequence[Path], packed: bool = True, encoded_by: SweepEngine | None = None
    ) -> None:
        self.workload, self.clips, self.packed = workload, clips, packed
        self.engine = make_engine(workload.lm, packed=packed, kernels=workload.lm.device.type == "cuda")
        self._audio_embeds: list[Tensor] = encoded_by._audio_embeds if encoded_by else []
        encode_all(workload.lm, [partial(decode, clips[0])])
        with at_threads(thread_counts(workload.lm.device)[0]):  # one on a CPU, as in an actor
            self.encode_seconds = seconds_of(self._encode)
            self.compose_seconds = seconds_of(self._compose)

    def answer(self, masks: Sequence[Mask | None], new_tokens: int) -> list[AnswerRows]:
        """The answers of each cell, computed as those of a sweep's unit."""
        transforms = [None if mask is None else Scale(self.workload.gates, mask, SCALE, "fold") for mask in masks]
        return self.prompt_batches.answer_under(transforms, new_tokens)

    def _encode(self) -> None:
        self._audio_embeds = self._audio_embeds or encode_all(
            self.workload.lm, [partial(decode, path) for path in self.clips]
        )

    def _compose(self) -> None:
        self.prompt_batches = self.prompt_batches_of(range(len(self.clips)))

    def prompt_batches_of(self, which: Sequence[int]) -> PromptBatches:
        """The questions about some of the clips, in batches under the workload's token budget."""
        audio_embeds, orders = [self._audio_embeds[i] for i in which], [order_of(self.clips[i]) for i in which]
        return PromptBatches(
            self.engine, audio_embeds, orders, SYNTHETIC_EMOTIONS, SYNTHETIC_EMOTIONS, self.workload.token_budget
        )

    @property
    def tokens_per_prompt(self) -> float:
        """Average length of a prompt, its audio included."""
        lm = self.workload.lm
        prompts = [
            lm.prompt(len(r), question(order_of(path))) for r, path in zip(self._audio_embeds, self.clips, strict=True)
        ]
        return float(np.mean([len(prompt) for prompt in prompts]))


class IdleObserver:
    """A transform and observer that change nothing: under it an engine computes every position, as under Mix."""

    def applied(self) -> AbstractContextManager[None]:
        """Nothing to edit."""
        return nullcontext()

    def observer(self) -> ActivationObserver:
        """Itself."""
        return self

    def begin_forward(self, positions: TokenPositions) -> None:
        """Nothing to keep."""

    def hooks(self) -> AbstractContextManager[None]:
        """Nothing to hook."""
        return nullcontext()

    def transform_gate(self, layer: int, gate_up_TM: Tensor, silu_and_mul: SiluAndMul) -> Tensor:
        """The gates unchanged."""
        return silu_and_mul(gate_up_TM)

    def split(self, start: int, stop: int) -> ActivationObserver:
        """The same for any rows."""
        return self

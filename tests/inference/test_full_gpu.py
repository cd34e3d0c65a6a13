"""Out of memory on a GPU: batches that do not fit are answered in halves, as with enough memory, and memory is freed.

On a machine with a GPU: `python -m pytest tests/inference/test_full_gpu.py`. The limit is the allocator's own, which
raises as a full GPU does. Filling the GPU would also fail allocations of CUDA's libraries outside of it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from esn_dist.inference.answer import BatchAnswers
from esn_dist.inference.batches import compose, shared_prefix
from esn_dist.inference.engine import BatchRequest, Engine
from esn_dist.inference.packed.elementwise_ops import has_c_compiler
from esn_dist.inference.packed.engine import PackedEngine, make_engine
from esn_dist.models.audio_lm import AudioLM
from esn_dist.models.tiny.architecture import TinySize, thinker_config, tokenizer
from speed.workload import drawn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="only a GPU can be full")

DEVICE = "cuda"
SIZE = TinySize(hidden=1024, layers=4, gates=8192, heads=8, key_value_heads=2)
PROMPTS, BUDGET, NEW = 200, 16_384, 2
# Nats between the two best of some 300 words, whose log-probabilities spread by 11 (the best two by 2.8, median). On
# a CPU, halves differ from the whole by at most 5e-5 and 0.4.
TIE = {torch.float32: 0.01, torch.bfloat16: 1.5}


def random_model(dtype: torch.dtype) -> AudioLM:
    """A model in which every layer changes the answer, and whose best word is clear."""
    lm = drawn(thinker_config(SIZE, tokenizer()), DEVICE, dtype)
    draw = torch.Generator(DEVICE).manual_seed(1)
    with torch.no_grad():
        for weight in (w for part in (lm.decoder, lm.head) for w in part.parameters() if w.dim() > 1):
            weight.normal_(0, weight.shape[1] ** -0.5, generator=draw)
        next(lm.head.parameters()).mul_(10)
    return lm


def batches_of(lm: AudioLM, engine: Engine[Any]) -> tuple[list[BatchRequest[Any]], int]:
    """Requests of unequal lengths under the token budget, with all words as options; and their shared prefix."""
    lengths, draw = np.random.default_rng(2).integers(50, 200, PROMPTS), torch.Generator().manual_seed(3)
    rows = [torch.randn(n, SIZE.hidden, generator=draw) / SIZE.hidden**0.5 for n in lengths.tolist()]
    prompts = [lm.prompt(len(r), f"Which one is it, {number}?") for number, r in enumerate(rows)]
    groups = compose([len(prompt) for prompt in prompts], BUDGET)
    batches = [engine.batch([prompts[i] for i in group], [rows[i] for i in group]) for group in groups]
    words = torch.arange(len(tokenizer()))
    return [BatchRequest(batch, words.expand(len(batch), -1)) for batch in batches], shared_prefix(prompts)


@contextmanager
def limited_to(size: int) -> Iterator[None]:
    """Limit further allocations on the GPU to `size` bytes."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + size) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def peak_of(engine: Engine[Any], request: BatchRequest[Any], prefix: int) -> int:
    """Peak bytes that answering a batch needs besides the weights and the batch."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    list(engine.answer_batches([request], NEW, prefix))
    return torch.cuda.max_memory_allocated() - before


def logprobs(answers: Sequence[BatchAnswers]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Log-probabilities of each prompt and word."""
    return np.concatenate([batch.logprob_BO for batch in answers])


@pytest.mark.parametrize("dtype", TIE, ids=str)
def test_batches_that_do_not_fit_are_answered_in_halves_as_with_enough_memory(dtype: torch.dtype) -> None:
    lm = random_model(dtype)
    engine = make_engine(lm, kernels=has_c_compiler())
    assert isinstance(engine, PackedEngine)
    requests, prefix = batches_of(lm, engine)
    expected = list(engine.answer_batches(requests, NEW, prefix))
    assert engine.splits == 0 and len(requests) > 2
    limit, allocated = peak_of(engine, requests[0], prefix) // 2, torch.cuda.memory_allocated()

    with limited_to(limit):
        answers = list(engine.answer_batches(requests, NEW, prefix))

    splits = engine.splits
    assert splits >= len(requests)
    assert_alike(answers, expected, TIE[dtype])
    gc.collect()
    assert torch.cuda.memory_allocated() <= allocated + limit // 50, "a batch that did not fit keeps its memory"
    again = list(engine.answer_batches(requests, NEW, prefix))
    assert engine.splits == splits and np.array_equal(logprobs(again), logprobs(expected))


def assert_alike(answers: Sequence[BatchAnswers], expected: Sequence[BatchAnswers], tie: float) -> None:
    """Every prompt has its expected answer, except where two words nearly tie."""
    assert all(batch.finite_B.all() for batch in answers)
    best = np.sort(logprobs(expected))
    clear = best[:, -1] - best[:, -2] > tie
    first, wanted = ([row[0] for batch in batches for row in batch.tokens] for batches in (answers, expected))
    assert len(first) == PROMPTS and clear.mean() > 0.5 and len(set(wanted)) > 10, "little is shown"
    assert (np.array(first) == wanted)[clear].all()
    assert np.abs(logprobs(answers) - logprobs(expected)).max() < 2 * tie

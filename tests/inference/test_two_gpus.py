"""Two GPUs: a copy between them blocks neither, and a model on both answers as on one.

On a machine with two GPUs: `python -m pytest tests/inference/test_two_gpus.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from esn_dist.gates.find import find_gates
from esn_dist.transfer import PeerCopy, peer_copy
from full_size import write_omni
from sharded import cells_of, encoded, loaded, prompt_batches_of

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")
LONG = 2_000_000_000  # cycles: about a second


def busy(device: torch.device) -> torch.cuda.Event:
    """Keep a device busy for a second; the event that marks the end of that work."""
    with torch.cuda.device(device):
        torch.cuda._sleep(LONG)
        end: torch.cuda.Event = torch.cuda.current_stream(device).record_event()
    return end


def test_the_source_of_a_copy_does_not_wait_for_a_busy_target() -> None:
    x = torch.randn(1_000, 1_000, device=FIRST)
    peer_copy(x, SECOND)  # the first copy sets up peer access
    torch.cuda.synchronize(SECOND)
    earlier_work = busy(SECOND)
    copy = PeerCopy(x, SECOND)
    torch.cuda.current_stream(FIRST).synchronize()
    assert not earlier_work.query()
    assert torch.equal(copy.wait().cpu(), x.cpu())
    assert earlier_work.query(), "the copy is read after the work that was queued on the target before"


def test_the_target_of_a_copy_works_on_until_it_reads_the_copy() -> None:
    x = torch.randn(1_000, 1_000, device=FIRST)
    peer_copy(x * 2, SECOND)  # CUDA also loads a kernel at its first launch, which waits for all running work
    torch.cuda.synchronize(SECOND)
    earlier_work = busy(FIRST)
    copy = PeerCopy(x * 2, SECOND)
    torch.cuda.current_stream(SECOND).synchronize()
    assert not earlier_work.query()
    assert torch.equal(copy.wait().cpu(), 2 * x.cpu())


def test_a_model_on_two_gpus_answers_as_on_one_bit_for_bit(tmp_path: Path) -> None:
    write_omni(tmp_path, small=True)
    alone, shared = (loaded("qwen2.5-omni-7b", tmp_path, gpus, "cuda") for gpus in (1, 2))
    assert {gate.down.device for gate in find_gates(shared.decoder)} == {FIRST, SECOND}
    rows = encoded(alone, 40)
    masks = [None, *(np.random.default_rng(0).random((2, len(find_gates(alone.decoder)), 1)) < 0.5)]
    ways = [prompt_batches_of(lm, rows, 1_024) for lm in (alone, shared)]
    assert len(ways[0].batches) > 3
    member_LN = [m if m is None else np.repeat(m, find_gates(alone.decoder)[0].width, 1) for m in masks]
    for ours, expected in zip(*(cells_of(prompt_batches, member_LN) for prompt_batches in ways), strict=True):
        assert np.array_equal(ours.answer, expected.answer) and np.array_equal(ours.logprob, expected.logprob)
    gates = [find_gates(lm.decoder) for lm in (alone, shared)]
    counts = [questions.answer(2, counted=g) for questions, g in zip(ways, gates, strict=True)]
    for ours, expected in zip((counts[0].K, counts[0].T), (counts[1].K, counts[1].T), strict=True):
        assert ours is not None and expected is not None and np.array_equal(ours, expected)

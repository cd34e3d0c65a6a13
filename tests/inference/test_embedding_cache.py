"""The cache of audio embeddings: what comes back is what went in, bit for bit, or nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from esn_dist.inference import embedding_cache
from esn_dist.inference.embedding_cache import AudioEmbeddingCache

CLIPS = ["a1", "b2", "c3"]


def rows(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(n, 6).to(dtype) for n in (3, 1, 7)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_block_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    cache = AudioEmbeddingCache(tmp_path, "m" * 64)
    cache.save(CLIPS, rows(dtype))
    loaded = cache.load(CLIPS)
    assert loaded is not None
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(loaded, rows(dtype), strict=True))


def test_another_model_another_order_and_another_clip_miss(tmp_path: Path) -> None:
    AudioEmbeddingCache(tmp_path, "m" * 64).save(CLIPS, rows())
    assert AudioEmbeddingCache(tmp_path, "n" * 64).load(CLIPS) is None
    assert AudioEmbeddingCache(tmp_path, "m" * 64).load(CLIPS[::-1]) is None
    assert AudioEmbeddingCache(tmp_path, "m" * 64).load([*CLIPS[:2], "d4"]) is None


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_counts_as_missing(tmp_path: Path, keep: int) -> None:
    cache = AudioEmbeddingCache(tmp_path, "m" * 64)
    cache.save(CLIPS, rows())
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    assert cache.load(CLIPS) is None


def test_a_flipped_bit_counts_as_missing_and_saving_again_repairs_the_file(tmp_path: Path) -> None:
    cache = AudioEmbeddingCache(tmp_path, "m" * 64)
    cache.save(CLIPS, rows())
    (path,) = tmp_path.rglob("*.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    assert cache.load(CLIPS) is None
    cache.save(CLIPS, rows())
    assert cache.load(CLIPS) is not None


def test_two_threads_that_write_one_block_at_once_both_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two corpora may hold the same clips, and an actor encodes in two threads."""
    both = threading.Barrier(2, timeout=20)
    write = save_file

    def at_once(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        both.wait()  # both threads have written, and neither has renamed its file yet

    monkeypatch.setattr(embedding_cache, "save_file", at_once)
    cache = AudioEmbeddingCache(tmp_path, "m" * 64)
    with ThreadPoolExecutor(2) as threads:
        for writing in [threads.submit(cache.save, CLIPS, rows()) for _ in range(2)]:
            writing.result()
    loaded = cache.load(CLIPS)
    assert loaded is not None and torch.equal(torch.cat(loaded), torch.cat(rows()))
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1


def test_two_writers_of_one_block_leave_one_file_and_no_partial_files(tmp_path: Path) -> None:
    for _ in range(2):
        AudioEmbeddingCache(tmp_path, "m" * 64).save(CLIPS, rows())
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1

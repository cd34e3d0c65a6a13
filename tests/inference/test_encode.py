"""A block of clips is read by threads: none is lost or moved, and what fails keeps its place and its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from esn_dist.corpora.audio import AudioError
from esn_dist.corpora.utterance import Reason
from esn_dist.inference.encode import Encoded, ReadClip, encode_block
from esn_dist.models.audio_lm import AudioLM, ClipTooShort
from esn_dist.models.generic.adapter import GenericAudioLM
from esn_dist.models.loading import load
from esn_dist.sweep.spec import ModelSpec
from tests.models.random_models import drawn, qwen2_audio
from tests.models.synthetic_inputs import wave

SAMPLES = (4_000, 16_001, 64_159, 32_000, 8_000, 37_920, 5_000, 16_000)


@pytest.fixture(scope="module", params=[0, 32], ids=["one by one", "in groups"])
def model(request: pytest.FixtureRequest) -> AudioLM:
    """The shipped one."""
    loaded = load(ModelSpec.model_validate("tiny-qwen2.5-omni"), "cpu")
    loaded.encoder_batch = request.param
    return loaded


def read_of(samples: int, after: float = 0.0) -> ReadClip:
    def read() -> npt.NDArray[np.float32]:
        time.sleep(after)
        return wave(samples)

    return read


def missing() -> npt.NDArray[np.float32]:
    raise AudioError(Reason.MISSING, "no file x.wav")


@pytest.mark.parametrize("threads", [0, 1, 5])
def test_embeddings_are_those_of_each_clip_alone_in_any_order_of_reading(model: AudioLM, threads: int) -> None:
    reads = [read_of(samples, after=0.02 * (len(SAMPLES) - n)) for n, samples in enumerate(SAMPLES)]
    for samples, rows_RD in zip(SAMPLES, encode_block(model, reads, threads=threads), strict=True):
        assert isinstance(rows_RD, torch.Tensor)
        assert torch.equal(rows_RD, model.encode_clip(wave(samples)))


@pytest.mark.parametrize("threads", [0, 3])
def test_a_clip_that_fails_keeps_its_place_and_its_reason_and_takes_no_other_along(
    model: AudioLM, threads: int
) -> None:
    reads = [missing, read_of(4_000), read_of(160, after=0.05), read_of(16_000), missing]
    results = encode_block(model, reads, threads=threads)
    assert [type(result) for result in results] == [AudioError, torch.Tensor, ClipTooShort, torch.Tensor, AudioError]
    assert str(results[2]).startswith("160 samples")
    assert [len(result) for result in results if isinstance(result, torch.Tensor)] == [6, 25]


@pytest.mark.parametrize("threads", [0, 3])
def test_a_block_without_a_single_clip_to_encode_is_all_errors(model: AudioLM, threads: int) -> None:
    assert [type(result) for result in encode_block(model, [missing, missing], threads=threads)] == [AudioError] * 2
    assert encode_block(model, [], threads=threads) == []


@pytest.mark.parametrize("threads", [0, 3])
def test_an_error_that_is_no_clip_s_is_raised(model: AudioLM, threads: int) -> None:
    def broken() -> npt.NDArray[np.float32]:
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        encode_block(model, [read_of(4_000), broken, read_of(4_000, after=0.2)], threads=threads)
    assert threading.active_count() == before


def test_clips_are_read_while_another_thread_uses_the_model(model: AudioLM) -> None:
    read = threading.Event()

    def reads() -> npt.NDArray[np.float32]:
        read.set()
        return wave(4_000)

    @contextmanager
    def model_lock() -> Iterator[None]:
        assert read.wait(10)
        yield

    assert len(encode_block(model, [reads], model_lock(), threads=1)) == 1


def test_on_a_cpu_the_calling_thread_reads_one_clip_after_the_other(model: AudioLM) -> None:
    readers: list[str] = []

    def read() -> npt.NDArray[np.float32]:
        readers.append(threading.current_thread().name)
        return wave(4_000)

    encode_block(model, [read, read])
    assert readers == [threading.current_thread().name] * 2


def test_threads_that_start_later_use_as_many_cores_as_before(model: AudioLM) -> None:
    def cores() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        encode_block(model, [read_of(4_000)] * 4, threads=2)
        assert torch.get_num_threads() == cores() == 2
    finally:
        torch.set_num_threads(before)


def test_processors_of_transformers_are_called_by_one_thread_at_a_time() -> None:
    """A tokenizer that is called twice at once answers "Already borrowed", or with the other call's padding."""
    lm = GenericAudioLM(*drawn(qwen2_audio))
    inside, most = [0], [0]
    apply = lm.processor.apply_chat_template

    def watched(*args: Any, **kwargs: Any) -> str:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        try:
            return str(apply(*args, **kwargs))
        finally:
            inside[0] -= 1

    lm.processor.apply_chat_template = watched
    results: list[Encoded] = encode_block(lm, [read_of(4_000)] * 6, threads=3)
    assert most == [1] and len(results) == 6

"""Encodes a block of clips: threads read and preprocess them while the encoder, which takes many at once, is busy.

The order is kept. A clip that cannot be encoded leaves its error in its place. Embeddings do not depend on the number
of threads: each thread runs torch single-threaded, and one thread preprocesses a clip. Knows no cache of embeddings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from esn_dist.corpora.audio import AudioError
from esn_dist.models.audio_lm import AudioLM, UnsupportedClip

ReadClip = Callable[[], npt.NDArray[np.float32]]
"""Returns a mono 16 kHz clip, or raises AudioError."""
Encoded = Tensor | AudioError | UnsupportedClip
"""Audio embeddings [R, D] of a clip on the CPU, or the reason why there are none."""
MAX_THREADS = 8  # a 30 s log-mel takes a thread some 18 ms, and an H100 some 5 ms to encode


def encode_block(
    model: AudioLM,
    reads: Sequence[ReadClip],
    model_lock: AbstractContextManager[Any] | None = None,
    threads: int | None = None,
) -> list[Encoded]:
    """Audio embeddings of each clip, in order.

    Args:
        model_lock: entered while the model is used; other threads may use the model before and after.
        threads: number of threads that read and preprocess. With 0 the calling thread does, one clip after the other.
            Default: 0 on a CPU, where the encoder needs the cores, else one for each core up to `MAX_THREADS`.
    """
    with _mapper(_default_threads(model) if threads is None else threads) as map_clips:
        inputs = map_clips(partial(_preprocess, model), reads)
        with model_lock or nullcontext():
            return _encode(model, inputs)


def _default_threads(model: AudioLM) -> int:
    return 0 if model.device.type == "cpu" else min(MAX_THREADS, os.cpu_count() or 1)


@contextmanager
def _mapper(threads: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` that runs in threads, starts at once and keeps the order."""
    if not threads:
        yield map
        return
    threads_per_operation = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads_per_operation)  # new threads start with the number that was set last


def _preprocess(model: AudioLM, read: ReadClip) -> Any:
    try:
        return model.preprocess(read())
    except (AudioError, UnsupportedClip) as error:
        return error


@torch.inference_mode()
def _encode(model: AudioLM, inputs: Iterable[Any]) -> list[Encoded]:
    """Embeddings of the preprocessed clips, fetched from the device in one copy; errors keep their places."""
    errors = list[AudioError | UnsupportedClip | None]()

    def input_features() -> Iterator[Any]:
        for item in inputs:
            errors.append(item if isinstance(item, AudioError | UnsupportedClip) else None)
            if errors[-1] is None:
                yield item

    # Clips x [R, D] -> one [sum of R, D] on the CPU -> clips x [R, D].
    audio_embeds = model.encode_audio(input_features())
    lengths = [len(embeds_RD) for embeds_RD in audio_embeds]
    host_embeds = iter(torch.cat(audio_embeds).cpu().split(lengths) if audio_embeds else ())
    return [error or next(host_embeds) for error in errors]

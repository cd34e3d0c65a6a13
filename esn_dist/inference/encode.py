"""A block of clips as audio rows: read and listened to by threads, ahead of the encoder, which takes many at once.

Order is kept, and for a clip that gives no rows, why. Rows do not depend on the number of threads: each runs torch's
operations by itself, and a clip is one thread's. Knows neither where rows are kept nor what is asked of them.
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
from esn_dist.models.audio_lm import AudioLM, ClipUnfit

Read = Callable[[], npt.NDArray[np.float32]]
"""Gives a mono 16 kHz clip, or raises AudioError."""
Encoded = Tensor | AudioError | ClipUnfit
"""Audio rows [R, D] on the CPU, or why there are none."""
MOST_THREADS = 8  # a 30 s log-mel takes a thread some 18 ms, and an H100 some 5 ms to encode


def encode_block(
    model: AudioLM, reads: Sequence[Read], turn: AbstractContextManager[Any] | None = None, threads: int | None = None
) -> list[Encoded]:
    """Rows of each clip, in order.

    Args:
        turn: entered while the model is used; other threads may use it before and after.
        threads: that read and listen; 0: the caller does, one clip after the other. Default: 0 on a CPU, where the
            encoder wants the cores itself, else as many as there are cores, up to `MOST_THREADS`.
    """
    with _each(_threads(model) if threads is None else threads) as each:
        heard = each(partial(_heard, model), reads)
        with turn or nullcontext():
            return _encoded(model, heard)


def _threads(model: AudioLM) -> int:
    return 0 if model.device.type == "cpu" else min(MOST_THREADS, os.cpu_count() or 1)


@contextmanager
def _each(threads: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` in threads, which begins at once and keeps the order."""
    if not threads:
        yield map
        return
    own = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(own)  # the last word on threads that begin later; those that run have their own


def _heard(model: AudioLM, read: Read) -> Any:
    try:
        return model.preprocess(read())
    except (AudioError, ClipUnfit) as error:
        return error


@torch.inference_mode()
def _encoded(model: AudioLM, heard: Iterable[Any]) -> list[Encoded]:
    """The rows of what was heard, fetched from the device in one piece; errors stay where they stand."""
    errors = list[AudioError | ClipUnfit | None]()

    def fit() -> Iterator[Any]:
        for one in heard:
            errors.append(one if isinstance(one, AudioError | ClipUnfit) else None)
            if errors[-1] is None:
                yield one

    rows = model.encode_audio(fit())
    lengths = [len(rows_RD) for rows_RD in rows]
    fetched = iter(torch.cat(rows).cpu().split(lengths) if rows else ())
    return [error or next(fetched) for error in errors]

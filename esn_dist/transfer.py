"""Copies tensors to a GPU, from the host or from another GPU, without blocking either side.

Torch makes a peer copy wait for all earlier work on both GPUs, and makes both GPUs wait for the copy. CUDA does the
same for a copy on a default stream. Two GPUs that pass batches on would then run one after the other. Here each GPU
has a copy stream, and later work waits only where it reads the copied tensor. Knows no models.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def to_device_async(x: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to `device` without waiting for the work queued there."""
    if (x.device.type, device.type) == ("cpu", "cuda"):
        x = x.contiguous().pin_memory()  # an expanded tensor cannot be pinned
    return x.to(device, non_blocking=True)


class PeerCopy:
    """A copy of `x` to another GPU that starts once the work queued on x's own GPU is done."""

    def __init__(self, x: Tensor, device: torch.device) -> None:
        self._copied: torch.cuda.Event | None = None
        if x.device == device or not (x.is_cuda and device.type == "cuda"):
            self._copy = x.to(device)
            return
        source_stream, target_stream = _copy_stream(x.device), _copy_stream(device)
        source_stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(source_stream), torch.cuda.stream(target_stream):
            self._copy = x.to(device, non_blocking=True)
        x.record_stream(source_stream)  # the copy may outlive the last reference to x
        self._copied = target_stream.record_event()

    def wait(self) -> Tensor:
        """The copy. Work queued on its GPU after this call waits for it; the host does not."""
        if self._copied:
            compute_stream = torch.cuda.current_stream(self._copy.device)
            compute_stream.wait_event(self._copied)
            self._copy.record_stream(compute_stream)  # its memory belongs to the target's copy stream
        return self._copy


def peer_copy(x: Tensor, device: torch.device) -> Tensor:
    """`x` on `device`, for work that reads it at once."""
    return PeerCopy(x, device).wait()


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream of a GPU for all its copies: every further stream would cache memory separately."""
    return torch.cuda.Stream(device)

"""Tensors to a GPU from the host or from another GPU, so that nobody waits for more than he must.

From one GPU to another, torch has a copy wait for all that either was asked before on its current stream, and has both
wait for the copy; and CUDA has a copy on a default stream wait for everything on both. Two GPUs with a batch each would
take turns. Here each has a stream of its own for what it sends and gets, and work waits where it takes what has come.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """`x` of the host on `device`, without waiting for what the device still does."""
    if (x.device.type, device.type) == ("cpu", "cuda"):
        x = x.contiguous().pin_memory()  # an expanded tensor cannot be pinned
    return x.to(device, non_blocking=True)


class Handed:
    """`x` on its way to `device`, behind what x's own device was asked so far."""

    def __init__(self, x: Tensor, device: torch.device) -> None:
        self._arrived: torch.cuda.Event | None = None
        if x.device == device or not (x.is_cuda and device.type == "cuda"):
            self._there = x.to(device)
            return
        sending, receiving = _aside(x.device), _aside(device)
        sending.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(sending), torch.cuda.stream(receiving):
            self._there = x.to(device, non_blocking=True)
        x.record_stream(sending)  # whose copy may outlast the last name of x
        self._arrived = receiving.record_event()

    def taken(self) -> Tensor:
        """x, for what the device is asked from now on."""
        if self._arrived:
            working = torch.cuda.current_stream(self._there.device)
            working.wait_event(self._arrived)
            self._there.record_stream(working)  # whose memory is the receiving stream's
        return self._there


def handed(x: Tensor, device: torch.device) -> Tensor:
    """`x` on `device`, which waits for it at once."""
    return Handed(x, device).taken()


@cache
def _aside(device: torch.device) -> torch.cuda.Stream:
    """One stream for all that a device sends and gets: each would keep memory of its own."""
    return torch.cuda.Stream(device)

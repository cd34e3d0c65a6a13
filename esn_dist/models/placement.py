"""Where a model's weights go: whole on one device, over k GPUs, or with a rest offloaded; always as an explicit map.

The map is made here from sizes, because `device_map="auto"` does nothing but warn under a launcher's environment
variables. Deterministic: the same model, dtype and memory give the same map. Knows nothing of any model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import torch
from accelerate import infer_auto_device_map
from accelerate.utils import compute_module_sizes, find_tied_parameters, get_balanced_memory
from torch import nn

from esn_dist.errors import UserError

GB = 10**9
ACTIVATIONS = 0.1  # share of a GPU's free memory that weights leave to activations and caches
DeviceMap = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Placement:
    """What may hold the weights.

    Attributes:
        device: where the work is done.
        gpus: GPUs that share one replica.
        offload: where weights go that the devices have no room for; None: they must fit.
        memory: bytes of weights per device at most; default: what is free.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    gpus: int = 1
    offload: Literal["cpu", "disk"] | None = None
    memory: int | None = None

    def device_map(self, skeleton: Any, dtype: torch.dtype) -> DeviceMap:
        """The device of each part of a model that exists on the meta device only.

        Raises:
            UserError: it does not fit; says how much is needed and what to set.
        """
        room = self._room()
        needed = int(compute_module_sizes(skeleton, dtype=dtype)[""])
        if not self.offload and needed > sum(room.values()):
            raise self._too_little(needed, sum(room.values()), dtype)
        if len(room) == 1 and not self.offload:
            return {"": next(iter(room))}
        if not self.offload and (stages := _even_stages(skeleton, dtype, room)):
            return stages
        unsplit = sorted(skeleton._no_split_modules or ())
        if self.gpus > 1 and not self.offload:
            room = get_balanced_memory(skeleton, dict(room), unsplit, dtype)
        if self.offload == "cpu" and self.device == "cuda":
            room["cpu"] = psutil.virtual_memory().available
        placed: DeviceMap = infer_auto_device_map(skeleton, dict(room), unsplit, dtype)
        if "disk" in placed.values() and self.offload != "disk":
            raise self._too_little(needed, sum(room.values()), dtype)
        return placed

    def _room(self) -> dict[int | str, int]:
        """Bytes that each working device offers to weights."""
        if self.device == "cpu":
            return {"cpu": self.memory or psutil.virtual_memory().available}
        if self.memory:
            return dict.fromkeys(range(self.gpus), self.memory)
        if self.gpus > torch.cuda.device_count():
            raise UserError(
                f"{self.gpus} GPUs per replica are asked for and this process sees {torch.cuda.device_count()}",
                fix="set gpus to what one machine has, or device: cpu",
            )
        return {i: int(torch.cuda.mem_get_info(i)[0] * (1 - ACTIVATIONS)) for i in range(self.gpus)}

    def _too_little(self, needed: int, room: int, dtype: torch.dtype) -> UserError:
        ways = ["dtype: bfloat16"] if dtype == torch.float32 else []
        ways += [f"gpus: {self.gpus + 1} or more", "offload: cpu"] if self.device == "cuda" else []
        return UserError(
            f"the weights need {_size(needed)} in {str(dtype).removeprefix('torch.')} "
            f"and {self.device} has {_size(room)} for them",
            fix=f"set {', or '.join([*ways, 'offload: disk'])}",
        )


def _even_stages(skeleton: Any, dtype: torch.dtype, room: Mapping[int | str, int]) -> DeviceMap | None:
    """The decoder's layers in equal shares, in order; what comes before them with the first, after them with the last.

    GPUs that hand batches on are as fast as the slowest of them, so layers are shared equally and not bytes:
    accelerate's balanced memory gives 20 and 8 of Qwen2.5-Omni-7B's 28 layers to two GPUs. None: it cannot be done.
    """
    sizes = compute_module_sizes(skeleton, dtype=dtype)
    stacks = {name: module for name, module in skeleton.named_modules() if isinstance(module, nn.ModuleList)}
    decoder = max(stacks, key=lambda name: int(sizes[name]))
    layers, devices = len(stacks[decoder]), list(room)
    if layers < len(devices) or find_tied_parameters(skeleton):
        return None
    placed, device = DeviceMap(), devices[0]
    for name in _parts(skeleton, "", decoder):
        if name.startswith(f"{decoder}."):
            device = devices[int(name.removeprefix(f"{decoder}.")) * len(devices) // layers]
        placed[name] = device
    filled = {d: sum(int(sizes[name]) for name, at in placed.items() if at == d) for d in devices}
    return placed if all(filled[d] <= room[d] for d in devices) else None


def _parts(module: nn.Module, path: str, stack: str) -> Iterator[str]:
    """Names, in order, of the largest parts that hold no more than one layer of `stack`."""
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    yield from (path + name for name, _ in own)
    for name, child in module.named_children():
        at = path + name
        if at == stack:
            yield from (f"{at}.{number}" for number, _ in child.named_children())
        elif stack.startswith(f"{at}."):
            yield from _parts(child, f"{at}.", stack)
        else:
            yield at


def _size(count: int) -> str:
    return f"{count / GB:.1f} GB" if count >= GB / 10 else f"{count * 1000 / GB:.1f} MB"
